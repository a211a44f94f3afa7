//! The broker of a real cluster: at each `open` it finds out anew which wire the cluster speaks,
//! so that an upgrade needs no restart.

use std::os::fd::RawFd;
use std::time::Duration;

use super::batch::Batch;
use super::batch::{Identity, Wire};
use super::broker::{Answer, Broker, Fault, Found, Topic};
use super::cluster::{Quest, find};
use super::legacy::Legacy;
use super::look::look;
use super::modern::{Modern, ROUNDS_IN_FLIGHT_MAX};
use super::reader::{History, TopicReader};
use crate::checkpoint::record::BatchRecord;
use crate::config::model::ChannelConfig;
use crate::log;
use crate::os;

/// Longest single wait for an answer.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// A broker for the topic of `config`, not connected yet.
pub fn connect(config: &ChannelConfig) -> Box<dyn Broker> {
    Box::new(Kafka { config: config.clone(), legacy: false, link: Link::Closed })
}

struct Kafka {
    config: ChannelConfig,
    /// The topic answered 43, and nothing has failed on the legacy wire since.
    legacy: bool,
    link: Link,
}

enum Link {
    Closed,
    Modern(Modern),
    Legacy(Box<Legacy>),
}

impl Kafka {
    fn connect(&mut self) -> Result<Topic, Fault> {
        let config = &self.config;
        let (name, client) = (config.topic.as_str(), config.client_id.as_str());
        let quest = Quest {
            brokers: &config.brokers,
            topic: name,
            client,
            legacy: self.legacy,
            may_create: true,
        };
        let cluster = find(quest)?;
        let topic = cluster.topic.clone();
        let peers: Vec<String> =
            cluster.leaders.iter().map(|l| l.connection.peer().to_string()).collect();
        let timeout = config.request_timeout_ms;
        self.link = match topic.wire {
            Wire::Modern => Link::Modern(Modern::new(cluster, name, client, timeout)),
            Wire::Legacy => {
                let compression = config.compression;
                Link::Legacy(Box::new(Legacy::new(cluster, name, client, compression, timeout)?))
            }
        };
        for peer in peers {
            log::info("producer.SyncProducer", format_args!("Connected to {peer} for producing"));
        }
        Ok(topic)
    }

    /// After a fault nothing of the connections is of use; a request to stop leaves them.
    fn settle<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        match &result {
            Ok(_) | Err(Fault::Stopped) => {}
            Err(Fault::Idle(_)) => self.link = Link::Closed,
            Err(_) => {
                self.legacy &= !matches!(self.link, Link::Legacy(_));
                self.link = Link::Closed;
            }
        }
        result
    }
}

fn closed() -> Fault {
    Fault::Lost("not connected".to_string())
}

impl Broker for Kafka {
    fn open(&mut self) -> Result<Topic, Fault> {
        self.link = Link::Closed;
        let result = self.connect();
        self.legacy &= result.is_ok();
        result
    }

    fn init_producer(&mut self) -> Result<Identity, Fault> {
        let result = match &mut self.link {
            Link::Closed => Err(closed()),
            Link::Modern(modern) => modern.init_producer(),
            Link::Legacy(_) => Ok(Identity::NONE),
        };
        self.settle(result)
    }

    fn end_offset(&mut self, partition: i32) -> Result<i64, Fault> {
        let result = match &mut self.link {
            Link::Closed => Err(closed()),
            Link::Modern(modern) => modern.end_offset(partition),
            Link::Legacy(legacy) => legacy.end_offset(partition),
        };
        self.settle(result)
    }

    fn end_offsets(&mut self, partitions: &[i32]) -> Result<Vec<i64>, Fault> {
        if let Link::Modern(modern) = &mut self.link {
            let result = modern.end_offsets(partitions);
            return self.settle(result);
        }
        partitions.iter().map(|partition| self.end_offset(*partition)).collect()
    }

    fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        let result = match &mut self.link {
            Link::Closed => Err(closed()),
            Link::Modern(modern) => modern.send(round),
            Link::Legacy(legacy) => legacy.send(round),
        };
        self.settle(result)
    }

    fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        let result = match &mut self.link {
            Link::Closed => Err(closed()),
            Link::Modern(modern) => modern.receive(answers),
            Link::Legacy(legacy) => legacy.receive(answers),
        };
        self.settle(result)
    }

    fn look(
        &mut self,
        partition: i32,
        floor: i64,
        wanted: &[&BatchRecord],
    ) -> Result<Found, Fault> {
        let result = match &mut self.link {
            Link::Closed => Err(closed()),
            // The older log keeps no identity, whatever a batch was sent with.
            Link::Modern(modern) => look(&mut modern.reading(partition), floor, wanted, true),
            Link::Legacy(legacy) => look(&mut legacy.reading(partition), floor, wanted, false),
        };
        self.settle(result)
    }

    fn history(&mut self) -> Result<Box<dyn History>, Fault> {
        Ok(Box::new(TopicReader::open_own(&self.config)?))
    }

    fn wait(&mut self) -> Result<(), Fault> {
        let mut interests = Vec::new();
        self.descriptors(&mut |fd, write| interests.push(os::Interest { fd, write }));
        // An overdue answer is `receive`'s to tell; short waits let it look at its clock.
        let result = os::wait(&interests, WAIT_MAX).map_err(|e| Fault::Lost(e.to_string()));
        if os::stop_requested().is_some() {
            return Err(Fault::Stopped);
        }
        result.map(|_| ())
    }

    fn rounds_in_flight_max(&self) -> usize {
        match self.link {
            Link::Modern(ref modern) if !modern.is_whole() => 0,
            Link::Modern(_) => ROUNDS_IN_FLIGHT_MAX,
            Link::Closed | Link::Legacy(_) => 1,
        }
    }

    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        if let Link::Modern(modern) = &self.link {
            modern.descriptors(add);
        }
    }

    fn use_legacy(&mut self) {
        self.legacy = true;
    }
}
