//! The broker of a real cluster: at each `open` it finds out anew which wire the cluster speaks,
//! so that an upgrade needs no restart.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::admin;
use super::batch::Batch;
use super::batch::{Identity, Wire};
use super::broker::{Answer, Broker, Fault, Found, Progress, Sought, Throttled, Topic};
use super::client::Client;
use super::cluster::{Cluster, OPEN_TIMEOUT, Quest};
use super::finding::Finding;
use super::finish::Waits;
use super::greet::LOOK_PAUSE;
use super::legacy::Legacy;
use super::look::Looks;
use super::middle::Middle;
use super::modern::{Modern, ROUNDS_IN_FLIGHT_MAX};
use super::reader::{History, TopicReader};
use super::sasl::tries::{self, May};
use super::standing::Standings;
use crate::config::model::{Compression, Destination};
use crate::log;

/// A broker for the topic of `config`, not connected yet.
pub fn connect(config: &Destination) -> Box<dyn Broker> {
    Box::new(Kafka {
        config: config.clone(),
        client: Client::of(config),
        legacy: false,
        link: Link::Closed,
        looks: Looks::default(),
        last: Default::default(),
        peers: Vec::new(),
        standings: Standings::default(),
    })
}

struct Kafka {
    config: Destination,
    client: Client,
    /// The topic answered 43: the next connection takes a wire before 0.11. Any after it asks anew.
    legacy: bool,
    link: Link,
    /// How far the log was looked through, over reconnects.
    looks: Looks,
    /// Cluster and topic of the last `open`, and to whom it connected.
    last: (String, [u8; 16]),
    peers: Vec<String>,
    standings: Standings,
}

enum Link {
    Closed,
    Finding(Box<Finding>),
    Modern(Box<Modern>),
    Middle(Box<Middle>),
    Legacy(Box<Legacy>),
}

impl Kafka {
    fn begin(&mut self) -> Finding {
        let config = &self.config;
        let quest = Quest {
            brokers: &config.brokers,
            topic: &config.topic,
            client: &self.client,
            legacy: std::mem::take(&mut self.legacy),
            may_create: true,
            may_lack: true,
        };
        Finding::start(quest, OPEN_TIMEOUT)
    }

    fn connect(&mut self, cluster: Cluster) -> Result<Topic, Fault> {
        let config = &self.config;
        let (name, client) = (config.topic.as_str(), &self.client);
        let topic = cluster.topic.clone();
        let peers: Vec<String> =
            cluster.leaders.iter().map(|l| l.connection.peer().to_string()).collect();
        let leads = topic.partitions.iter().zip(&cluster.led_by);
        let leads = leads.filter_map(|(id, at)| Some((*id, peers.get((*at)?)?.clone()))).collect();
        let shown = cluster.leaders.iter().filter_map(|leader| {
            let certificate = leader.connection.tls()?.certificate?;
            Some((leader.connection.peer().to_string(), certificate))
        });
        let certificates = shown.collect();
        let elder = cluster.leaders.iter().find(|l| l.spoken.versions().is_none());
        let elder = elder.map(|l| (l.connection.peer().to_string(), admin::release(&l.spoken)));
        let timeout = config.request_timeout_ms;
        // Before 0.11 all leaders are connected to, or none: the crate does so, and the other wire
        // does not look whether one that was silent answers again.
        if let Some(address) = cluster.unreached.first()
            && !topic.wire.has_identity()
        {
            let why = format!("topic {name}: the leader at {address} cannot be reached");
            return Err(Fault::NotReady(why));
        }
        self.link = match topic.wire {
            Wire::Modern => Link::Modern(Box::new(Modern::new(cluster, name, client, timeout))),
            Wire::Middle if config.compression == Compression::Zstd => {
                let why = "zstd needs brokers from 2.1 on, and a topic in their format";
                return Err(Fault::NotReady(why.to_owned()));
            }
            Wire::Middle => Link::Middle(Box::new(Middle::new(cluster, name, &client.id, timeout))),
            Wire::Legacy => {
                let compression = config.compression;
                Link::Legacy(Box::new(Legacy::new(
                    cluster,
                    name,
                    &client.id,
                    compression,
                    timeout,
                )?))
            }
        };
        let this = (topic.cluster_id.clone(), topic.topic_id);
        if this != self.last {
            self.looks.forget();
            self.last = this;
        }
        self.standings.connected(leads, certificates);
        if peers != self.peers {
            self.tell_peers(&peers, elder);
            self.peers = peers;
        }
        Ok(topic)
    }

    /// `elder`: a leader before 0.10, and its release.
    fn tell_peers(&self, peers: &[String], elder: Option<(String, String)>) {
        for peer in peers {
            let line = format_args!("Connected to {peer} for producing");
            log::info("producer.SyncProducer", line);
        }
        if let Some((peer, release)) = elder {
            let Destination { name, topic, .. } = &self.config;
            log::info(
                "kafka.KafkaChannel",
                format_args!(
                    "Channel {name} (topic {topic}): {peer} is Kafka {release}; one round is sent \
                     at a time, in its format."
                ),
            );
        }
    }

    /// Was this very login refused a moment ago, or is it tried now, perhaps for another source?
    fn may_log_in(&self) -> May {
        let security = self.client.security.as_ref().filter(|_| self.client.logs_in());
        security.map_or(May::Try, |security| {
            tries::may(&self.config.brokers, &security.config, Instant::now())
        })
    }

    /// How a login has ended.
    fn note_login(&self, fault: Option<&Fault>) {
        let security = self.client.security.as_ref().filter(|_| self.client.logs_in());
        let Some(security) = security else { return };
        let (brokers, as_whom) = (&self.config.brokers, &security.config);
        match fault {
            None => tries::believed(brokers, as_whom),
            Some(Fault::LoginRefused(why)) => {
                tries::refused(brokers, as_whom, why, Instant::now());
            }
            Some(_) => tries::unanswered(brokers, as_whom),
        }
    }

    /// After a fault nothing of the connections is of use; a request to stop leaves them.
    fn settle<T>(&mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        if let Err(fault @ Fault::LoginRefused(_)) = &result {
            self.note_login(Some(fault));
        }
        if let Err(fault) = &result
            && *fault != Fault::Stopped
        {
            self.link = Link::Closed;
            self.peers.clear();
            self.standings.closed();
        }
        result.map_err(|fault| fault.asked_by(&self.client.principal()))
    }
}

fn closed() -> Fault {
    Fault::Lost("not connected".to_string())
}

impl Broker for Kafka {
    fn open(&mut self) -> Result<Progress<Topic>, Fault> {
        self.looks.interrupt();
        let mut finding = match std::mem::replace(&mut self.link, Link::Closed) {
            Link::Finding(finding) => finding,
            _ => match self.may_log_in() {
                May::Try => Box::new(self.begin()),
                May::Wait => return Ok(Progress::Pending),
                May::Rest(why) => return Err(Fault::LoginRefused(why)),
            },
        };
        let found = finding.poll();
        match &found {
            Ok(Progress::Done(_)) => self.note_login(None),
            Ok(Progress::Pending) => {}
            Err(fault) => self.note_login(Some(fault)),
        }
        self.standings.take(finding.standings(found.is_err()));
        self.standings.own = self.client.own_certificate();
        match found.map_err(|fault| fault.asked_by(&self.client.principal()))? {
            Progress::Done(cluster) => self.connect(cluster).map(Progress::Done),
            Progress::Pending => {
                self.link = Link::Finding(finding);
                Ok(Progress::Pending)
            }
        }
    }

    fn init_producer(&mut self) -> Result<Progress<Identity>, Fault> {
        self.looks.interrupt();
        let result = match &mut self.link {
            Link::Closed | Link::Finding(_) => Err(closed()),
            Link::Modern(modern) => modern.init_producer(),
            Link::Middle(_) | Link::Legacy(_) => Ok(Progress::Done(Identity::NONE)),
        };
        self.settle(result)
    }

    fn end_offsets(&mut self, partitions: &[i32]) -> Result<Progress<Vec<i64>>, Fault> {
        self.looks.interrupt();
        let result = match &mut self.link {
            Link::Closed | Link::Finding(_) => Err(closed()),
            Link::Modern(modern) => modern.end_offsets(partitions),
            Link::Middle(middle) => middle.end_offsets(partitions),
            Link::Legacy(legacy) => legacy.reader.end_offsets(partitions),
        };
        self.settle(result)
    }

    fn leader(&self, partition: i32) -> Option<String> {
        match &self.link {
            Link::Closed | Link::Finding(_) => None,
            Link::Modern(modern) => modern.leader(partition),
            Link::Middle(middle) => middle.leader(partition),
            Link::Legacy(legacy) => legacy.reader.leader(partition),
        }
    }

    fn survey(&mut self) -> Result<Progress<Topic>, Fault> {
        self.looks.interrupt();
        let result = match &mut self.link {
            Link::Closed | Link::Finding(_) => Err(closed()),
            Link::Modern(modern) => modern.survey(),
            Link::Middle(middle) => middle.survey(),
            Link::Legacy(legacy) => legacy.reader.survey(),
        };
        match result {
            // That says nothing of the connections.
            Err(fault @ Fault::NotReady(_)) => Err(fault),
            Err(fault @ Fault::Unauthorised(_)) => Err(fault.asked_by(&self.client.principal())),
            other => self.settle(other),
        }
    }

    fn send(&mut self, round: &[&Batch]) -> Result<(), Fault> {
        let result = match &mut self.link {
            Link::Closed | Link::Finding(_) => Err(closed()),
            Link::Modern(modern) => modern.send(round),
            Link::Middle(middle) => middle.send(round),
            Link::Legacy(legacy) => legacy.send(round),
        };
        self.settle(result)
    }

    fn takes(&self, partition: i32) -> bool {
        match &self.link {
            Link::Modern(modern) => modern.takes(partition),
            Link::Middle(middle) => middle.takes(partition),
            Link::Closed | Link::Finding(_) | Link::Legacy(_) => true,
        }
    }

    fn receive(&mut self, answers: &mut Vec<Answer>) -> Result<(), Fault> {
        let result = match &mut self.link {
            Link::Closed | Link::Finding(_) => Err(closed()),
            Link::Modern(modern) => modern.receive(answers),
            Link::Middle(middle) => middle.receive(answers),
            Link::Legacy(legacy) => legacy.receive(answers),
        };
        self.settle(result)
    }

    fn look(&mut self, sought: &[Sought<'_>]) -> Result<Progress<Vec<Found>>, Fault> {
        if !self.looks.is_under_way() {
            match &mut self.link {
                Link::Closed | Link::Finding(_) => {}
                Link::Modern(modern) => modern.abandon_questions(),
                Link::Middle(middle) => middle.abandon_questions(),
                Link::Legacy(legacy) => legacy.reader.abandon_questions(),
            }
        }
        let looks = &mut self.looks;
        let result = match &mut self.link {
            Link::Closed | Link::Finding(_) => Err(closed()),
            // The older log keeps no identity, whatever a batch was sent with.
            Link::Modern(modern) => {
                modern.pump().and_then(|()| looks.step(&mut **modern, sought, true))
            }
            Link::Middle(middle) => {
                middle.pump().and_then(|()| looks.step(&mut **middle, sought, false))
            }
            Link::Legacy(legacy) => looks.step(&mut legacy.reader, sought, false),
        };
        self.settle(result)
    }

    fn forget_looks(&mut self) {
        self.looks.forget();
    }

    fn history(&mut self) -> Result<Box<dyn History>, Fault> {
        Ok(Box::new(TopicReader::open_own(&self.config)?))
    }

    fn rounds_in_flight_max(&self) -> usize {
        match &self.link {
            Link::Modern(modern) if !modern.is_whole() => 0,
            Link::Middle(middle) if !middle.is_whole() => 0,
            Link::Modern(_) | Link::Middle(_) => ROUNDS_IN_FLIGHT_MAX,
            Link::Closed | Link::Finding(_) | Link::Legacy(_) => 1,
        }
    }

    fn throttled(&mut self) -> Option<Throttled> {
        match &mut self.link {
            Link::Modern(modern) => modern.throttled(),
            // Before 2.0 brokers wait themselves, before they answer.
            Link::Closed | Link::Finding(_) | Link::Middle(_) | Link::Legacy(_) => None,
        }
    }

    fn standings(&self) -> Option<&Standings> {
        Some(&self.standings)
    }

    fn use_legacy(&mut self) {
        self.legacy = true;
    }
}

impl Waits for Kafka {
    fn descriptors(&self, add: &mut dyn FnMut(RawFd, bool)) {
        match &self.link {
            Link::Closed => {}
            Link::Finding(finding) => finding.descriptors(add),
            Link::Modern(modern) => modern.descriptors(add),
            Link::Middle(middle) => middle.descriptors(add),
            Link::Legacy(legacy) => legacy.descriptors(add),
        }
    }

    fn is_congested(&self) -> bool {
        match &self.link {
            Link::Closed => false,
            Link::Finding(finding) => finding.is_congested(),
            Link::Modern(modern) => modern.is_congested(),
            Link::Middle(middle) => middle.is_congested(),
            Link::Legacy(legacy) => legacy.is_congested(),
        }
    }

    fn patience(&self) -> Duration {
        let patience = match &self.link {
            Link::Closed => LOOK_PAUSE,
            Link::Finding(finding) => finding.patience(),
            Link::Modern(modern) => modern.patience(),
            Link::Middle(middle) => middle.patience(),
            Link::Legacy(legacy) => legacy.patience(),
        };
        self.looks.patience().map_or(patience, |looks| looks.min(patience))
    }
}
