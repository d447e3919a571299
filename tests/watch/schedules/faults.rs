// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any fault that streams may have.

use std::time::Duration;

use tests::{
    api_server::{ApiServer, Faults, HalfLine, Resource, Strike},
    chance::Chance,
};

/// Makes one, somewhere or everywhere, and says what it was.
pub(super) fn any(server: &ApiServer, chance: &mut Chance) -> String {
    let everywhere = Resource::ALL.to_vec();
    let one = vec![*chance.pick(&Resource::ALL)];
    let at = if chance.one_in(3) { everywhere } else { one };
    let what = match chance.below(4) {
        0 => {
            let strike = strike(chance);
            for resource in &at {
                server.strike_at(*resource, strike);
            }
            format!("{strike:?}")
        }
        1 => {
            server.compact();
            "versions are forgotten".to_owned()
        }
        2 => {
            for resource in &at {
                server.faults_of(*resource, |faults| *faults = Faults::default());
            }
            "well again".to_owned()
        }
        _ => {
            let turn = lasting(chance);
            for resource in &at {
                server.faults_of(*resource, |faults| turn(faults));
            }
            let on = at.iter().map(|resource| server.faults_now(*resource));
            format!("{:?}", on.last())
        }
    };
    let at: Vec<_> = at.iter().map(|resource| resource.plural()).collect();
    format!("{}: {what}", at.join(" and "))
}

fn strike(chance: &mut Chance) -> Strike {
    match chance.below(8) {
        0 | 1 => Strike::Cut,
        2 => Strike::End,
        3 | 4 => Strike::BlackHole,
        5 => Strike::Error(*chance.pick(&[410, 500, 504])),
        _ => Strike::Bookmark,
    }
}

fn lasting(chance: &mut Chance) -> impl Fn(&mut Faults) + use<> {
    let kind = chance.below(9);
    let code = *chance.pick(&[401, 403, 404, 410, 429, 500, 503, 504]);
    let after = chance.one_in(2).then_some(*chance.pick(&[1, 3]));
    let half = *chance.pick(&[HalfLine::Reset, HalfLine::End, HalfLine::Silence]);
    let back = *chance.pick(&[1, 5, 40]);
    let page = *chance.pick(&[1, 2, 5]);
    let pause = Duration::from_millis(*chance.pick(&[1, 20, 300]));
    move |faults| match kind {
        0 | 1 => {
            faults.refuse = Some(code);
            faults.retry_after_s = after;
        }
        2 => faults.stall = true,
        3 => faults.gone_as_status = true,
        4 => faults.end_watches = true,
        5 => faults.half_lines = Some(half),
        6 => faults.replay = back,
        7 => faults.page = Some(page),
        _ => faults.pause = pause,
    }
}
