// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has gone wrong with the server, and what helps: nothing, a new list, a new connection.

use std::{error::Error, time::Duration};

use kube::core::Status;

/// No wish of the server's makes us wait longer.
const LONGEST_WISH: Duration = Duration::from_secs(30);

/// A list or a watch that failed.
pub(super) struct Trouble {
    /// What happened, for people.
    pub(super) said: String,
    /// The version that was reached is no good any more: only a new list helps.
    pub(super) lost: bool,
    /// It was no answer of the API, or it does not know us (any more): the way there is to be made
    /// anew, from files that may have changed.
    pub(super) unanswered: bool,
    /// The server wishes not to be asked before.
    pub(super) not_before: Duration,
}

impl Trouble {
    /// The server answered, and it is not what was asked for.
    pub(super) fn answered(said: &str) -> Self {
        Self {
            said: said.to_owned(),
            lost: false,
            unanswered: false,
            not_before: Duration::ZERO,
        }
    }

    /// What the server says cannot be gone on from.
    pub(super) fn lost(said: &str) -> Self {
        Self {
            lost: true,
            ..Self::answered(said)
        }
    }

    /// Nothing was heard. The connection may be dead, and others of its pool with it.
    pub(super) fn silent(seconds: u64) -> Self {
        Self {
            unanswered: true,
            ..Self::answered(&format!("the server has been silent for {seconds} s"))
        }
    }
}

/// What an answer that is an error says, and what helps.
fn answer(status: &Status) -> String {
    let Status {
        code,
        reason,
        message,
        ..
    } = status;
    let advice = match code {
        401 => {
            "; the token or certificate may have expired: look at the kubeconfig, or at the \
                service account"
        }
        403 => "; the account needs the rights that deploy/ lists: list and watch",
        _ => "",
    };
    // Its text may hold anything, and goes to terminals.
    let message = message.replace(char::is_control, " ");
    format!("the server says {code} {reason}: {message}{advice}")
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        let said = match &error {
            kube::Error::Api(status) => answer(status),
            error => chain(error),
        };
        match error {
            // 410: the version is older than what the server remembers. Servers say it inside a
            // stream or as its status (kubernetes#104171).
            kube::Error::Api(status) if status.code == 410 => Self::lost(&said),
            kube::Error::Api(status) => {
                let wish = status
                    .details
                    .map_or(0, |details| details.retry_after_seconds);
                Self {
                    unanswered: status.code == 401,
                    not_before: Duration::from_secs(wish.into()).min(LONGEST_WISH),
                    ..Self::answered(&said)
                }
            }
            // Objects are refused one by one; this is no list and no event, and what it was to
            // say only a list does.
            kube::Error::SerdeError(_) => Self::lost(&said),
            _ => Self {
                unanswered: true,
                ..Self::answered(&said)
            },
        }
    }
}

/// An error with its causes, none of them said twice.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
