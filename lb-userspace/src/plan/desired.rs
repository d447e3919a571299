// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the maps should hold: the plans of all Services, with conflicts decided.
//!
//! Kept change by change, and equal to planning the final world at once: replacing one plan costs
//! that Service and those that claim its addresses.

mod exposed;
mod users;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

pub use exposed::Exposed;

use super::{
    External, Fault, HealthCheck, Object, Plan, Problem, Rules, Surroundings, Table, Tables,
    conflict::{self, Claim},
    plan,
};
use crate::{
    maps::Frontend,
    model::{Kind, Name, World},
};
use lb_common::wire::Service;
use users::Users;

/// The plans of all Services.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    rules: Rules,
    plans: BTreeMap<Name, Plan>,
    /// In order, each once.
    claims: BTreeMap<Frontend, Vec<Claim>>,
    users: Users,
}

/// What is planned alike is alike, whatever came first.
impl PartialEq for Desired {
    fn eq(&self, other: &Self) -> bool {
        self.plans == other.plans && self.claims == other.claims
    }
}

impl Desired {
    /// No plans yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Plans one Service anew, as the world knows it now, and says for which Services the wanted
    /// tables may differ from before.
    pub fn replan(&mut self, world: &World, name: &Name) -> BTreeSet<Name> {
        let mut touched = BTreeSet::new();
        // Endpoints that have become addresses of Services, or are none any more, are others'.
        // These may have changed as well, and not be planned anew yet.
        let mut left = BTreeSet::from([name.clone()]);
        while let Some(name) = left.pop_first() {
            left.extend(self.replan_one(world, &name, &mut touched));
        }
        touched
    }

    /// Plans one Service anew; whose endpoints are to be judged anew because of it.
    fn replan_one(
        &mut self,
        world: &World,
        name: &Name,
        touched: &mut BTreeSet<Name>,
    ) -> BTreeSet<Name> {
        self.users.note(name, world.slices(name));
        let new = world.service(name).map(|service| {
            let around = Surroundings {
                node: world.node(),
                rules: &self.rules,
                service_at: &|address| self.other_at(address, name).cloned(),
            };
            plan(service, world.slices(name), around)
        });
        let old = self.plans.get(name);
        if old == new.as_ref() {
            return BTreeSet::new();
        }
        touched.insert(name.clone());
        let old = old.map(|plan| claims(name, plan)).unwrap_or_default();
        let new_claims = new.as_ref().map(|plan| claims(name, plan));
        let new_claims = new_claims.unwrap_or_default();
        let mut addresses = BTreeSet::new();
        for (frontend, claim) in old.difference(&new_claims) {
            self.release(*frontend, claim, touched);
            addresses.extend((!claim.is_external).then_some(frontend.address));
        }
        for (frontend, claim) in new_claims.difference(&old) {
            self.claim(*frontend, claim, touched);
            addresses.extend((!claim.is_external).then_some(frontend.address));
        }
        match new {
            Some(plan) => self.plans.insert(name.clone(), plan),
            None => self.plans.remove(name),
        };
        let mut users = self.users.of(&addresses);
        users.remove(name);
        users
    }

    /// The tables of a Service, without the frontends that another Service gets.
    pub fn wanted(&self, name: &Name) -> Tables {
        let tables = self.plans.get(name).into_iter();
        let tables = tables.flat_map(|plan| plan.tables.iter());
        let tables = tables.map(|(key, table)| (key.clone(), self.won(name, table)));
        tables
            .filter(|(_, table)| !table.frontends.is_empty())
            .collect()
    }

    /// Which Service a frontend belongs to.
    pub fn owner(&self, frontend: Frontend) -> Option<&Name> {
        conflict::winner(self.claims.get(&frontend.for_all())?)
    }

    /// Whether a frontend leads to a table: whoever owns an address may have one entry there for
    /// all clients, or two.
    pub fn is_served(&self, frontend: Frontend) -> bool {
        let plan = self.owner(frontend).and_then(|name| self.plans.get(name));
        let mut tables = plan.into_iter().flat_map(|plan| plan.tables.iter());
        tables.any(|(_, table)| table.frontends.binary_search(&frontend).is_ok())
    }

    /// When a Service was made; the oldest are served first. None: it is not wanted any more.
    pub fn created_s(&self, name: &Name) -> Option<i64> {
        self.plans.get(name).map(|plan| plan.created_s)
    }

    /// What is wrong with a Service, conflicts included.
    pub fn problems(&self, name: &Name) -> Vec<Problem> {
        let Some(plan) = self.plans.get(name) else {
            return Vec::new();
        };
        let tables = plan.tables.iter();
        let asked: BTreeSet<_> = tables.flat_map(|(_, table)| table.asked()).collect();
        let lost = asked.into_iter().filter_map(|frontend| {
            let owner = self.owner(frontend).filter(|owner| *owner != name)?;
            Some(Problem {
                object: Object {
                    kind: Kind::Service,
                    name: name.clone(),
                },
                fault: Fault::Taken {
                    frontend,
                    owner: owner.clone(),
                },
            })
        });
        plan.problems.iter().cloned().chain(lost).collect()
    }

    /// What a Service is reached by besides its Cluster-IPs, where it gets it.
    pub fn exposed(&self, name: &Name) -> Vec<Exposed> {
        let tables = self.plans.get(name).into_iter();
        let tables = tables.flat_map(|plan| plan.tables.iter());
        let rows = tables.flat_map(|(key, table)| {
            let external = table.external.iter().filter(|it| it.is_dialled());
            let ours = external.filter(|it| self.owner(it.frontend) == Some(name));
            ours.map(|external| Exposed::new(key, table, external))
        });
        rows.collect()
    }

    /// What load balancers may ask this node about a Service.
    pub fn health(&self, name: &Name) -> Option<HealthCheck> {
        self.plans.get(name)?.health
    }

    /// How many ports of a Service, of each family, have no endpoint here that a policy would let
    /// serve, and some elsewhere: by `internalTrafficPolicy`, and by `externalTrafficPolicy`.
    pub fn not_local(&self, name: &Name) -> [usize; 2] {
        let tables = self.plans.get(name).into_iter();
        let tables = tables.flat_map(|plan| plan.tables.iter());
        let tables = tables.map(|(_, table)| table);
        let elsewhere = tables.filter(|table| table.flags & Service::ELSEWHERE != 0);
        elsewhere.fold([0; 2], |[internal, external], table| {
            [
                internal + usize::from(table.cluster_ips().next().is_some()),
                external + usize::from(table.external.iter().any(External::is_dialled)),
            ]
        })
    }

    fn won(&self, name: &Name, table: &Arc<Table>) -> Arc<Table> {
        let ours = |frontend: &Frontend| self.owner(*frontend) == Some(name);
        if table.frontends.iter().all(ours) {
            return table.clone();
        }
        let won = table.frontends.iter().copied().filter(ours);
        Arc::new(Table {
            frontends: won.collect(),
            ..Table::clone(table)
        })
    }

    fn claim(&mut self, frontend: Frontend, claim: &Claim, touched: &mut BTreeSet<Name>) {
        let claims = self.claims.entry(frontend).or_default();
        // All that ask for it: who had it loses it, and the problems of the others change.
        touched.extend(claims.iter().map(|claim| claim.service.clone()));
        if let Err(place) = claims.binary_search(claim) {
            // Nearly always, there is one.
            claims.reserve_exact(1);
            claims.insert(place, claim.clone());
        }
    }

    fn release(&mut self, frontend: Frontend, claim: &Claim, touched: &mut BTreeSet<Name>) {
        let Some(claims) = self.claims.get_mut(&frontend) else {
            return;
        };
        if let Ok(place) = claims.binary_search(claim) {
            claims.remove(place);
        }
        touched.extend(claims.iter().map(|claim| claim.service.clone()));
        if claims.is_empty() {
            self.claims.remove(&frontend);
        }
    }

    /// Which other Service has an address as its Cluster-IP. What `name` itself claims does not
    /// count: those are the claims of its old plan.
    fn other_at(&self, address: IpAddr, name: &Name) -> Option<&Name> {
        let from_there = self.claims.range(Frontend::of_address(address)..);
        let at = from_there.take_while(|(frontend, _)| frontend.address == address);
        let mut claims = at.flat_map(|(_, claims)| claims);
        let other = claims.find(|claim| !claim.is_external && claim.service != *name);
        other.map(|claim| &claim.service)
    }
}

/// What a plan asks for.
fn claims(name: &Name, plan: &Plan) -> BTreeSet<(Frontend, Claim)> {
    let claim = |is_external| Claim {
        is_external,
        created_s: plan.created_s,
        service: name.clone(),
    };
    let mut claims = BTreeSet::new();
    for (_, table) in plan.tables.iter() {
        claims.extend(table.cluster_ips().map(|frontend| (frontend, claim(false))));
        let external = table.external.iter().map(|external| external.frontend);
        claims.extend(external.map(|frontend| (frontend, claim(true))));
    }
    claims
}
