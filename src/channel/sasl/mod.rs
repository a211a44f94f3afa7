//! Who we are, told to a broker before it answers anything but what it speaks.

use std::time::{Duration, Instant};

use super::broker::{Fault, Progress};
use super::client::Client;
use super::greet::LOOK_PAUSE;
use super::protocol::Versions;
use super::wire::Connection;

/// A login under way on a connection that carries nothing else yet.
#[derive(Debug)]
pub struct Authentication {
    deadline: Instant,
}

impl Authentication {
    /// Begins; `None` where the client says to nobody who it is. Asks nothing yet.
    pub fn begin(client: &Client, deadline: Instant) -> Option<Authentication> {
        let security = client.security.as_ref()?;
        security.config.protocol.has_sasl().then_some(Authentication { deadline })
    }

    /// Goes as far as it can now. It is called again when the connection stirs or
    /// [`Authentication::patience`] is over.
    ///
    /// # Errors
    /// `Lost`, `Unauthorised`; it is over then.
    pub fn step(
        &mut self,
        _connection: &mut Connection,
        _versions: &Versions,
    ) -> Result<Progress<()>, Fault> {
        Ok(Progress::Done(()))
    }

    /// How long it may be left alone though its connection does not stir.
    pub fn patience(&self) -> Duration {
        LOOK_PAUSE.min(self.deadline.saturating_duration_since(Instant::now()))
    }
}
