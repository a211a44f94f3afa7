//! GSSAPI (RFC 4752): a ticket of Kerberos, then a word on what is wrapped afterwards, which is nothing.
//!
//! The library may ask a KDC, and is waited for; a request to stop ends the process then, as on the
//! wire before 0.10.

use std::path::Path;

use super::exchange::{Refusal, Step};
use crate::config::sasl::Tickets;
use crate::os::{self, KerberosContext};

/// Neither what is sent later is encrypted nor is it signed: TLS does that.
const NO_LAYER: u8 = 1;

/// One exchange.
pub struct Gssapi {
    context: KerberosContext,
    state: State,
}

enum State {
    /// Both sides make themselves known.
    Meeting,
    /// They are; the broker says what it can wrap.
    Agreeing,
    /// Everything is said.
    Told,
}

/// Who logs in, where.
pub struct Ticket<'a> {
    pub service: &'a str,
    pub principal: Option<&'a str>,
    pub tickets: &'a Tickets,
    pub configuration: Option<&'a Path>,
}

impl Gssapi {
    /// Begins at the broker at `peer` (`host:port`), and the first token.
    ///
    /// # Errors
    /// There is no library, no ticket and no key to get one, or the KDC does not know the broker.
    pub fn start(ticket: &Ticket<'_>, peer: &str) -> Result<(Gssapi, Vec<u8>), Refusal> {
        let _guard = os::arm_last_words(format!("stopped while asking for a ticket for {peer}\n"));
        if let Some(path) = ticket.configuration {
            os::use_kerberos_configuration(path);
        }
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let store = match ticket.tickets {
            // Tickets that were got by a key are kept in memory, beside whatever the user has.
            Tickets::Keytab(path) => vec![
                ("client_keytab", format!("FILE:{}", path.display())),
                ("ccache", format!("MEMORY:{} {}", path.display(), ticket.principal.unwrap_or(""))),
            ],
            Tickets::Cache(Some(path)) => vec![("ccache", format!("FILE:{}", path.display()))],
            Tickets::Cache(None) => Vec::new(),
        };
        let told = |why: String| {
            let way_out = match ticket.tickets {
                Tickets::Keytab(path) => format!("look at {} with klist -k", path.display()),
                Tickets::Cache(_) => "get a ticket by kinit, or name a keytab".to_string(),
            };
            let service = ticket.service;
            Refusal(format!("no ticket for {service}/{host}: {why}; {way_out}, and at the KDC"))
        };
        let begun = KerberosContext::begin(ticket.service, host, ticket.principal, &store);
        let mut context = begun.map_err(told)?;
        let (token, _) = context.step(&[]).map_err(told)?;
        Ok((Gssapi { context, state: State::Meeting }, token))
    }

    /// What is to be done on the broker's token.
    ///
    /// # Errors
    /// The broker is not who it should be, or wants what is not supported.
    pub fn answer(&mut self, token: &[u8]) -> Result<Step, Refusal> {
        match self.state {
            State::Meeting => {
                let (token, is_met) = self.context.step(token).map_err(Refusal)?;
                if is_met {
                    self.state = State::Agreeing;
                }
                Ok(Step::Send(token))
            }
            State::Agreeing => {
                let offer = self.context.unwrap(token).map_err(Refusal)?;
                let reply = reply(&offer)?;
                self.state = State::Told;
                self.context.wrap(&reply).map(Step::SendLast).map_err(Refusal)
            }
            State::Told => Ok(Step::Done),
        }
    }
}

/// The broker's layers and the largest piece that it takes; ours, and no name but that of the ticket.
fn reply(offer: &[u8]) -> Result<[u8; 4], Refusal> {
    match offer {
        [layers, _, _, _] if layers & NO_LAYER != 0 => Ok([NO_LAYER, 0, 0, 0]),
        [_, _, _, _] => {
            let why = "the broker wants everything wrapped by Kerberos, which no client of Kafka does; \
                       set sasl.qop=auth there";
            Err(Refusal(why.to_string()))
        }
        _ => Err(Refusal("the broker's answer is not valid for GSSAPI".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wrapped_later() {
        assert_eq!(reply(&[7, 1, 0, 0]), Ok([1, 0, 0, 0]));
        for wrong in [&[6, 1, 0, 0][..], &[], &[1, 0, 0], &[1, 0, 0, 0, 0]] {
            assert!(reply(wrong).is_err(), "{wrong:?}");
        }
    }

    /// The library is there or not; neither may do anything but say so.
    #[test]
    fn no_ticket_is_told_with_the_way_out() {
        let tickets = Tickets::Cache(Some("/nonexistent/cache".into()));
        let ticket =
            Ticket { service: "kafka", principal: None, tickets: &tickets, configuration: None };
        let Err(Refusal(why)) = Gssapi::start(&ticket, "h.example:9092").map(drop) else {
            panic!()
        };
        assert!(why.starts_with("no ticket for kafka/h.example: "), "{why}");
        assert!(why.ends_with("get a ticket by kinit, or name a keytab, and at the KDC"), "{why}");
    }
}
