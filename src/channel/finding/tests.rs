use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::super::batch::Wire;
use super::super::finish::finish;
use super::super::protocol::{self, Api, METADATA, PRODUCE};
use super::*;

/// A broker of one partition, which it says that it leads, or that nobody does.
fn broker(leads: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let leaders = [if leads { 1 } else { -1 }];
    serve_all(listener, metadata_5(&[address], &leaders), Duration::ZERO);
    address.to_string()
}

/// Answers each question after `delay`.
fn serve_all(listener: TcpListener, metadata: Vec<u8>, delay: Duration) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let metadata = metadata.clone();
            std::thread::spawn(move || while serve(&stream, &metadata, delay).is_ok() {});
        }
    });
}

/// Brokers that are far away, each of which leads a partition.
fn far_cluster(count: usize, delay: Duration) -> Vec<String> {
    let bind = |_| TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners: Vec<TcpListener> = (0..count).map(bind).collect();
    let addresses: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    let leaders: Vec<i32> = (1..).take(count).collect();
    let metadata = metadata_5(&addresses, &leaders);
    listeners.into_iter().for_each(|l| serve_all(l, metadata.clone(), delay));
    addresses.iter().map(SocketAddr::to_string).collect()
}

/// Metadata, version 5: brokers with the ids 1, 2 and so on, no racks; no cluster id, no
/// controller; topic "t" with a partition for each of `leaders`, without replicas.
fn metadata_5(brokers: &[SocketAddr], leaders: &[i32]) -> Vec<u8> {
    let mut out = [0, brokers.len() as i32].map(i32::to_be_bytes).concat();
    for (id, address) in (1i32..).zip(brokers) {
        out.extend_from_slice(&id.to_be_bytes());
        protocol::put_string(&mut out, &address.ip().to_string());
        out.extend_from_slice(&i32::from(address.port()).to_be_bytes());
        out.extend_from_slice(&[0xff; 2]);
    }
    out.extend_from_slice(&[0xff; 6]);
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0]);
    protocol::put_string(&mut out, "t");
    out.push(0);
    out.extend_from_slice(&(leaders.len() as i32).to_be_bytes());
    for (partition, leader) in (0i32..).zip(leaders) {
        out.extend_from_slice(&[0, 0]);
        out.extend([partition, *leader, 0, 0, 0].map(i32::to_be_bytes).concat());
    }
    out
}

fn serve(mut stream: &TcpStream, metadata: &[u8], delay: Duration) -> std::io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut request = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut request)?;
    std::thread::sleep(delay);
    let mut answer = request[4..8].to_vec();
    match request[..2] {
        [0, 18] => {
            let speaks = |api: Api| [api.key, api.lowest, api.highest].map(i16::to_be_bytes);
            answer.extend_from_slice(&[0, 0, 0, 0, 0, 2]);
            answer.extend([METADATA, PRODUCE].map(speaks).concat().concat());
        }
        _ => answer.extend_from_slice(metadata),
    }
    stream.write_all(&(answer.len() as u32).to_be_bytes())?;
    stream.write_all(&answer)
}

#[test]
fn a_broker_that_knows_of_no_leader_does_not_hide_one_that_does() {
    let brokers = [false, false, true].map(broker);
    let find = |brokers: &[String]| find_all(brokers, Duration::from_millis(800));
    let cluster = find(&brokers).map_err(|fault| fault.to_string()).unwrap();
    assert_eq!((cluster.told_by.as_str(), cluster.topic.wire), (brokers[2].as_str(), Wire::Modern));
    let fault = find(&brokers[..2]).map(drop).unwrap_err();
    assert_eq!(fault, Fault::NotReady("topic t: partition 0 has no leader".to_string()));
}

/// As listeners for TLS do.
#[test]
fn a_peer_that_closes_at_each_question_is_named_for_what_it_may_be() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
        }
    });
    let fault =
        find_all(std::slice::from_ref(&address), Duration::from_secs(8)).map(drop).unwrap_err();
    let why = format!(
        "no broker can be reached: {address} closed the connection when it was asked; a listener \
         for SASL or TLS does so: set kafka.producer.security.protocol, or name a plaintext one"
    );
    assert_eq!(fault, Fault::Unreachable(why));
}

#[test]
fn a_frozen_broker_leaves_time_for_those_behind_it() {
    // The kernel takes connections for it, and nobody answers.
    let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let brokers = [&frozen, &gone].map(|l| l.local_addr().unwrap().to_string());
    drop(gone);
    let fault = find_all(&brokers, Duration::from_millis(800)).map(drop).unwrap_err();
    let [frozen, gone] = brokers;
    let why =
        format!("no broker can be reached: {frozen} does not answer; {gone}: Connection refused");
    assert_eq!(fault, Fault::Unreachable(why));
}

fn find_all(brokers: &[String], timeout: Duration) -> Result<Cluster, Fault> {
    find_with(brokers, timeout, false)
}

fn find_with(brokers: &[String], timeout: Duration, may_lack: bool) -> Result<Cluster, Fault> {
    let client = &Client::plain("c");
    let (topic, legacy, may_create) = ("t", false, false);
    let quest = Quest { brokers, topic, client, legacy, may_create, may_lack };
    finish(&mut Finding::start(quest, timeout), Finding::poll)
}

/// One after the other they would take twelve seconds.
#[test]
fn forty_leaders_that_are_far_away_are_greeted_side_by_side() {
    let brokers = far_cluster(40, Duration::from_millis(300));
    let cluster = find_all(&brokers[..1], Duration::from_secs(8));
    let cluster = cluster.map_err(|fault| fault.to_string()).unwrap();
    assert_eq!((cluster.leaders.len(), cluster.led_by.len()), (40, 40));
    for (index, broker) in brokers.iter().enumerate() {
        assert_eq!(cluster.leaders[cluster.led_by[index].unwrap()].connection.peer(), broker);
    }
}

/// In turn each would have a quarter of a second.
#[test]
fn forty_brokers_in_the_list_leave_each_other_time() {
    let frozen: Vec<TcpListener> =
        (0..39).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut brokers: Vec<String> =
        frozen.iter().map(|l| l.local_addr().unwrap().to_string()).collect();
    brokers.extend(far_cluster(1, Duration::from_millis(300)));
    let cluster = find_all(&brokers, Duration::from_secs(10));
    let cluster = cluster.map_err(|fault| fault.to_string()).unwrap();
    assert_eq!(cluster.told_by, brokers[39]);
}

/// Two leaders, of which the second is not to be had.
fn find_with_one_leader(second: SocketAddr) -> Cluster {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [first.local_addr().unwrap(), second];
    serve_all(first, metadata_5(&addresses, &[2, 1]), Duration::ZERO);
    let brokers = [addresses[0].to_string()];
    let find = |may_lack| find_with(&brokers, Duration::from_secs(3), may_lack);
    assert!(matches!(find(false), Err(Fault::NotReady(_))));
    find(true).map_err(|fault| fault.to_string()).unwrap()
}

#[test]
fn a_leader_that_is_gone_or_silent_is_left_out() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [&silent, &gone].map(|l| l.local_addr().unwrap());
    drop(gone);
    for address in addresses {
        let cluster = find_with_one_leader(address);
        assert_eq!(cluster.led_by, [None, Some(0)]);
        assert_eq!(cluster.topic.leaderless, [0]);
        assert_eq!(cluster.unreached, [address.to_string()]);
    }
}

#[test]
fn a_leader_that_is_frozen_does_not_hide_the_one_that_took_over() {
    let frozen = TcpListener::bind("127.0.0.1:0").unwrap();
    let old = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = old.local_addr().unwrap();
    serve_all(old, metadata_5(&[frozen.local_addr().unwrap()], &[1]), Duration::ZERO);
    let brokers = [address.to_string(), broker(true)];
    let cluster = find_all(&brokers, Duration::from_secs(8));
    let cluster = cluster.map_err(|fault| fault.to_string()).unwrap();
    assert_eq!(cluster.told_by, brokers[1]);
}
