//! The beginning: what a hello must be, and its answer (docs/PROTOCOL.md, section 5).

use tracing::debug;
use wire::message::{MAGIC, Message, Request as Incoming, pick_version};
use wire::{answer as told, request as asked};

use super::Origin;
use super::refusal::{Refusal, bad_length, refuse, refuse_field};
use crate::answer::{self, BadField, Code, Peer};
use crate::server::Server;
use crate::server::frames::{Frame, NoFrame};

/// The first frame: who is there, and the call number of its hello; or the refusal that ends the connection, and which of
/// [`PROTOCOL_ERRORS`](crate::counts::PROTOCOL_ERRORS) it is for.
pub(super) fn greet(
    first: Result<Frame, NoFrame>,
    origin: &Origin,
) -> Result<(Peer, u32), (Option<&'static str>, Refusal)> {
    let (head, body) = match first {
        Ok(frame) => frame,
        Err(NoFrame::Length(error)) => return Err((Some(error.as_str()), bad_length(error))),
        // Nobody is there to read it.
        Err(NoFrame::Io(_)) => return Err((None, Box::new(|_| {}))),
    };
    let call = head.call;
    let no_hello = || (Some("order"), refuse(call, Code::BadRequest, "a connection begins with a hello", ""));
    let bad_field = |bad| (Some("field"), refuse_field(call, bad));
    if head.number != asked::Hello::NUMBER || call == 0 {
        return Err(no_hello());
    }
    let hello = match Incoming::decode(head.number, &body) {
        Ok(Incoming::Hello(hello)) => hello,
        Ok(_) => return Err(no_hello()),
        Err(e) => {
            return Err((Some(e.as_str()), refuse(call, Code::BadRequest, e.to_string(), e.as_str())));
        }
    };
    if hello.magic != MAGIC {
        let message = "this is not a Seatkeeper client".into();
        return Err(bad_field(BadField { field: "magic", message }));
    }
    answer::check_text("program", &hello.program).map_err(bad_field)?;
    answer::check_text("program_version", &hello.program_version).map_err(bad_field)?;
    let text = || {
        let (lowest, highest) = (hello.lowest, hello.highest);
        format!("client speaks versions {lowest} to {highest}, server {}", wire::message::VERSION_HIGHEST)
    };
    match pick_version(hello.lowest, hello.highest) {
        Ok(_) => {}
        Err(wire::codes::CLIENT_TOO_OLD) => {
            return Err((Some("client_too_old"), refuse(call, Code::ClientTooOld, text(), "")));
        }
        Err(wire::codes::SERVER_TOO_OLD) => {
            return Err((Some("server_too_old"), refuse(call, Code::ServerTooOld, text(), "")));
        }
        Err(_) => return Err(bad_field(BadField { field: "lowest", message: text() })),
    }
    debug!(program = hello.program, version = hello.program_version, address = ?origin.address, "hello");
    let (address, admin, sees_all) = (origin.address, origin.admin.clone(), origin.sees_all);
    Ok((Peer { address, admin, sees_all, install_id: hello.install_id }, call))
}

pub(super) fn hello_answer(server: &Server) -> told::Hello {
    told::Hello {
        version: wire::message::VERSION_HIGHEST,
        server_name: server.name.clone(),
        server_version: env!("CARGO_PKG_VERSION").into(),
        instance: server.instance,
        heartbeat_ms: server.context.heartbeat_ms,
        lease_ms: server.context.lease_ms,
        client_frame_bytes_max: server.limits.frame_bytes,
        sessions_max: server.limits.sessions_per_connection,
        extras: Vec::new(),
    }
}
