// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a frame of TCP has: flags, numbers and options.

use super::{Frame, Transport, flag};

impl Frame {
    /// Adds TCP flags, as in [`flag`].
    ///
    /// # Panics
    ///
    /// For a frame that is not TCP.
    #[must_use]
    pub fn flags(mut self, more: u8) -> Self {
        match &mut self.transport {
            Transport::Tcp { flags, .. } => *flags |= more,
            _ => panic!("only TCP has flags"),
        }
        self
    }

    /// The client's first segment.
    #[must_use]
    pub fn syn(self) -> Self {
        self.flags(flag::SYN)
    }

    /// The server's answer to it.
    #[must_use]
    pub fn syn_ack(self) -> Self {
        self.flags(flag::SYN | flag::ACK)
    }

    /// Any segment of an open connection.
    #[must_use]
    pub fn ack(self) -> Self {
        self.flags(flag::ACK)
    }

    /// The sender's last segment.
    #[must_use]
    pub fn fin(self) -> Self {
        self.flags(flag::FIN | flag::ACK)
    }

    /// A reset.
    #[must_use]
    pub fn rst(self) -> Self {
        self.flags(flag::RST)
    }

    /// Other numbers than an end of its port has: sequence number and acknowledgement.
    ///
    /// # Panics
    ///
    /// For a frame that is not TCP.
    #[must_use]
    pub fn numbers(mut self, sequence: u32, acknowledgement: u32) -> Self {
        match &mut self.transport {
            Transport::Tcp { numbers, .. } => *numbers = Some([sequence, acknowledgement]),
            _ => panic!("only TCP has such numbers"),
        }
        self
    }

    /// TCP options; a multiple of four bytes, at most 40.
    ///
    /// # Panics
    ///
    /// For a frame that is not TCP.
    #[must_use]
    pub fn tcp_options(mut self, bytes: &[u8]) -> Self {
        match &mut self.transport {
            Transport::Tcp { options, .. } => *options = bytes.to_vec(),
            _ => panic!("only TCP has options"),
        }
        self
    }
}
