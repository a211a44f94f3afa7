//! Topics that were at the address of a cluster before, and are there again.

use super::{Cluster, Log, Packet};

/// A topic that is not at the address now.
pub struct Former {
    pub logs: Vec<Log>,
    id: u32,
    topic: u32,
    /// What the cluster gives next, and what is on its way to it, where it is another one.
    next_producer_id: i64,
    pub(super) network: Vec<Packet>,
}

impl Cluster {
    /// Another topic is at the address.
    pub(super) fn put_away(&mut self, other: Vec<Log>, network: Vec<Packet>) {
        let logs = std::mem::replace(&mut self.logs, other);
        let Cluster { id, topic, next_producer_id, .. } = *self;
        self.former.push(Former { logs, id, topic, next_producer_id, network });
    }

    /// A topic that was at the address before is there again, on its cluster: what was on its way to that arrives. Or
    /// one of this cluster is restored. `false`: there was none.
    pub fn go_back(&mut self, for_ms: u64) -> bool {
        let tells_id = self.tells_topic_id();
        let is_last = |at: usize| {
            let later = &self.former[at + 1..];
            self.former[at].id != self.id && later.iter().all(|f| f.id != self.former[at].id)
        };
        let there: Vec<usize> =
            (0..self.former.len()).filter(|&at| tells_id || is_last(at)).collect();
        if there.is_empty() {
            return false;
        }
        let chosen = self.rng.pick(&there);
        self.stand_again(chosen);
        self.unreachable_until_ms = self.now_ms() + for_ms;
        true
    }

    /// Likewise, that with this number.
    pub fn stand_again(&mut self, chosen: usize) {
        self.cut();
        let Former { logs, id, topic, next_producer_id, network } = self.former.remove(chosen);
        let left = std::mem::replace(&mut self.network, network);
        // Of this cluster all brokers are started anew.
        let is_here = id == self.id;
        let partitions = self.logs.len();
        self.put_away(logs, if is_here { Vec::new() } else { left });
        // With fewer partitions lines of one key would change places, as they may.
        let most = self.logs.len().max(partitions);
        self.logs.resize_with(most, Log::default);
        if is_here {
            self.network.clear();
        }
        let of_cluster = self.former.iter().filter(|f| f.id == id);
        let given = of_cluster.map(|f| f.next_producer_id).max();
        self.next_producer_id = given.unwrap_or(0).max(next_producer_id);
        (self.id, self.topic) = (id, topic);
        self.serial_of_former = self.serial;
        self.has_returned = true;
    }
}
