//! The engine's picture, for readers who ask as often as they like: the engine hears of one in [`PICTURE_MS`] of them.

use std::sync::Arc;

use tokio::sync::{Mutex, oneshot};

use super::{Refusal, Server, stopping};
use crate::engine::ask::Ask;
use crate::engine::picture::{PICTURE_MS, Picture};

/// The last picture, shared by all readers.
#[derive(Debug, Default)]
pub struct Pictures {
    /// With the tick until which it is good, exclusive.
    last: Mutex<Option<(Arc<Picture>, u64)>>,
}

impl Pictures {
    /// A picture that is younger than [`PICTURE_MS`], or one that is [kept](Pictures::keep). One reader asks the engine, and the others wait for what it gets.
    ///
    /// # Errors
    /// The server is stopping.
    pub async fn latest(&self, server: &Server) -> Result<Arc<Picture>, Refusal> {
        let mut last = self.last.lock().await;
        let now = server.context.clock.tick().0;
        if let Some((picture, _)) = last.as_ref().filter(|(_, until)| now < *until) {
            return Ok(picture.clone());
        }
        let picture = ask(server).await?;
        *last = Some((picture.clone(), picture.tick + PICTURE_MS));
        Ok(picture)
    }

    /// What was made from a picture is shown until that tick: so is the picture, that all readers see the same. `false`:
    /// another one is shown by now.
    pub async fn keep(&self, picture: &Arc<Picture>, until: u64) -> bool {
        match &mut *self.last.lock().await {
            Some((last, good_until)) if Arc::ptr_eq(last, picture) => {
                *good_until = until.max(*good_until);
                true
            }
            _ => false,
        }
    }
}

/// Asks the engine for a picture.
pub(super) async fn ask(server: &Server) -> Result<Arc<Picture>, Refusal> {
    let (give, take) = oneshot::channel();
    let ask = Ask::Picture(Box::new(move |picture| drop(give.send(picture))));
    server.engine.ask_soon(ask).await.map_err(|_| stopping())?;
    take.await.map_err(|_| stopping())
}
