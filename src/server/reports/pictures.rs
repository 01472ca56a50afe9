//! The engine's picture, for readers who ask as often as they like: the engine hears of one in [`PICTURE_MS`] of them.

use std::sync::Arc;

use tokio::sync::{Mutex, oneshot};

use super::{Refusal, Server, stopping};
use crate::engine::ask::Ask;
use crate::engine::picture::{PICTURE_MS, Picture};

/// The last picture, shared by all readers.
#[derive(Debug, Default)]
pub struct Pictures {
    last: Mutex<Option<Arc<Picture>>>,
}

impl Pictures {
    /// A picture that is younger than [`PICTURE_MS`]. One reader asks the engine, and the others wait for what it gets.
    ///
    /// # Errors
    /// The server is stopping.
    pub async fn latest(&self, server: &Server) -> Result<Arc<Picture>, Refusal> {
        let mut last = self.last.lock().await;
        let now = server.context.clock.tick().0;
        if let Some(picture) = last.as_ref().filter(|p| now.saturating_sub(p.tick) < PICTURE_MS) {
            return Ok(picture.clone());
        }
        let picture = ask(server).await?;
        *last = Some(picture.clone());
        Ok(picture)
    }
}

/// Asks the engine for a picture.
pub(super) async fn ask(server: &Server) -> Result<Arc<Picture>, Refusal> {
    let (give, take) = oneshot::channel();
    let ask = Ask::Picture(Box::new(move |picture| drop(give.send(picture))));
    server.engine.ask_soon(ask).await.map_err(|_| stopping())?;
    take.await.map_err(|_| stopping())
}
