//! Calls of a broker that are put until they are answered, for tests that have nothing else to do.

use std::time::{Duration, Instant};

use flume_ng::channel::batch::Identity;
use flume_ng::channel::broker::{Broker, Fault, Sought, Topic};
use flume_ng::channel::finish::finish;
use flume_ng::checkpoint::record::BatchRecord;

#[allow(dead_code)]
pub trait Patient {
    fn opened(&mut self) -> Result<Topic, Fault>;
    /// Opens until every partition's leader knows that it is: of a topic made a moment ago, or of
    /// one whose broker died, metadata tells leaders before they do (errors 3, 5 and 6).
    fn ready(&mut self) -> Topic;
    fn producer(&mut self) -> Result<Identity, Fault>;
    fn end(&mut self, partition: i32) -> Result<i64, Fault>;
    fn seen(
        &mut self,
        partition: i32,
        floor: i64,
        wanted: &[&BatchRecord],
    ) -> Result<Vec<Option<i64>>, Fault>;
}

impl Patient for dyn Broker + '_ {
    fn opened(&mut self) -> Result<Topic, Fault> {
        finish(self, |broker| broker.open())
    }

    fn ready(&mut self) -> Topic {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let topic = self.opened().and_then(|topic| {
                finish(self, |broker| broker.end_offsets(&topic.partitions))?;
                Ok(topic)
            });
            match topic {
                Ok(topic) => return topic,
                Err(fault) => assert!(Instant::now() < deadline, "{fault}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn producer(&mut self) -> Result<Identity, Fault> {
        finish(self, |broker| broker.init_producer())
    }

    fn end(&mut self, partition: i32) -> Result<i64, Fault> {
        finish(self, |broker| broker.end_offsets(&[partition])).map(|ends| ends[0])
    }

    fn seen(
        &mut self,
        partition: i32,
        floor: i64,
        wanted: &[&BatchRecord],
    ) -> Result<Vec<Option<i64>>, Fault> {
        let sought = [Sought { partition, floor, wanted: wanted.to_vec(), afresh: true }];
        finish(self, |broker| broker.look(&sought)).map(|mut found| found.remove(0).offsets)
    }
}
