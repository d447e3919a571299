// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the maps should hold: the plans of all Services, with conflicts decided.
//!
//! Kept change by change, and equal to planning the final world at once: replacing one plan costs
//! that Service and those that claim its addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Fault, Object, Plan, Problem, Table, TableKey,
    conflict::{self, Claim},
    plan,
};
use crate::{
    maps::Frontend,
    model::{Kind, Name, World},
};

/// The plans of all Services.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    plans: BTreeMap<Name, Plan>,
    claims: BTreeMap<Frontend, BTreeSet<Claim>>,
}

impl Desired {
    /// Plans one Service anew, as the world knows it now, and says for which Services the wanted
    /// tables may differ from before.
    pub fn replan(&mut self, world: &World, name: &Name) -> BTreeSet<Name> {
        let new = world.service(name);
        let new = new.map(|service| plan(service, world.slices(name), world.node()));
        let old = self.plans.get(name);
        if old == new.as_ref() {
            return BTreeSet::new();
        }
        let mut touched = BTreeSet::from([name.clone()]);
        let old = old.map(claims).unwrap_or_default();
        let new_claims = new.as_ref().map(claims).unwrap_or_default();
        for (frontend, created_s) in old.difference(&new_claims) {
            self.release(*frontend, *created_s, name, &mut touched);
        }
        for (frontend, created_s) in new_claims.difference(&old) {
            self.claim(*frontend, *created_s, name, &mut touched);
        }
        match new {
            Some(plan) => self.plans.insert(name.clone(), plan),
            None => self.plans.remove(name),
        };
        touched
    }

    /// The tables of a Service, without the frontends that another Service gets.
    pub fn wanted(&self, name: &Name) -> BTreeMap<TableKey, Arc<Table>> {
        let tables = self.plans.get(name).into_iter();
        let tables = tables.flat_map(|plan| &plan.tables);
        let tables = tables.map(|(key, table)| (key.clone(), self.won(name, table)));
        tables
            .filter(|(_, table)| !table.frontends.is_empty())
            .collect()
    }

    /// Which Service a frontend belongs to.
    pub fn owner(&self, frontend: Frontend) -> Option<&Name> {
        self.claims.get(&frontend).and_then(conflict::winner)
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
        let frontends = plan.tables.values().flat_map(|table| &table.frontends);
        let lost = frontends.filter_map(|&frontend| {
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

    fn won(&self, name: &Name, table: &Arc<Table>) -> Arc<Table> {
        let ours = |frontend: &Frontend| self.owner(*frontend) == Some(name);
        if table.frontends.iter().all(ours) {
            return table.clone();
        }
        let mut table = Table::clone(table);
        table.frontends.retain(ours);
        Arc::new(table)
    }

    fn claim(
        &mut self,
        frontend: Frontend,
        created_s: i64,
        name: &Name,
        touched: &mut BTreeSet<Name>,
    ) {
        let claims = self.claims.entry(frontend).or_default();
        // All that ask for it: who had it loses it, and the problems of the others change.
        touched.extend(claims.iter().map(|claim| claim.service.clone()));
        claims.insert(Claim {
            created_s,
            service: name.clone(),
        });
    }

    fn release(
        &mut self,
        frontend: Frontend,
        created_s: i64,
        name: &Name,
        touched: &mut BTreeSet<Name>,
    ) {
        let Some(claims) = self.claims.get_mut(&frontend) else {
            return;
        };
        claims.remove(&Claim {
            created_s,
            service: name.clone(),
        });
        touched.extend(claims.iter().map(|claim| claim.service.clone()));
        if claims.is_empty() {
            self.claims.remove(&frontend);
        }
    }
}

/// What a plan claims, with its age.
fn claims(plan: &Plan) -> BTreeSet<(Frontend, i64)> {
    let frontends = plan.tables.values().flat_map(|table| &table.frontends);
    frontends
        .map(|&frontend| (frontend, plan.created_s))
        .collect()
}
