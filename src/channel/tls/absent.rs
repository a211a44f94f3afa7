//! In a build without the cargo feature `tls`: there is none.

mod summary;

use std::io::{self, IoSlice};
use std::net::TcpStream;

pub use summary::{Spoken, Summary};

use super::transport::Received;
use crate::config::tls;

#[derive(Debug)]
pub struct Tls;

/// There is never one.
pub enum Session {}

impl Tls {
    pub fn new(_: tls::Tls) -> Tls {
        Tls
    }

    /// # Errors
    /// Always.
    pub fn session(&self, _peer: &str) -> Result<Session, String> {
        Err("this build has no TLS".to_string())
    }

    pub fn own(&self) -> Option<Summary> {
        None
    }
}

impl Session {
    pub fn handshake(&mut self, _: &mut TcpStream) -> io::Result<bool> {
        match *self {}
    }

    pub fn flush(&mut self, _: &mut TcpStream) -> io::Result<()> {
        match *self {}
    }

    pub fn write(&mut self, _: &mut TcpStream, _: &[IoSlice<'_>]) -> io::Result<usize> {
        match *self {}
    }

    pub fn wants_write(&self) -> bool {
        match *self {}
    }

    pub fn read(&mut self, _: &mut TcpStream, _: &mut Vec<u8>) -> io::Result<Received> {
        match *self {}
    }

    pub fn counts(&self) -> (u64, u64) {
        match *self {}
    }

    pub fn spoken(&self) -> Option<Spoken> {
        match *self {}
    }
}
