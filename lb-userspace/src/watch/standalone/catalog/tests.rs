// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rounds: what is said first, and what later.

use super::*;

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: alpaca-prod}\nspec:\n  \
                       selector: {app: alpaca-prod}\n  ports: [{port: 80, targetPort: 8080}]\n";

fn pod(name: &str, app: &str, address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {app}}}}}\nstatus: \
         {{podIP: {address}, conditions: [{{type: Ready, status: 'True'}}]}}\n"
    )
}

fn catalog() -> Catalog {
    Catalog::new(
        vec!["10.96.0.0/16".parse().expect("a CIDR")],
        Ledger::default(),
        None,
    )
}

fn put(catalog: &mut Catalog, path: &str, text: &str) {
    let file = FileId {
        folder: 0,
        path: path.into(),
    };
    catalog.put(&file, text);
}

/// Changes in few words.
fn say(round: &Round) -> Vec<String> {
    let said = round.changes.iter().map(|change| match change {
        Change::Service(service) => format!("{} {:?}", service.name, service.cluster_ips),
        Change::Slice(slice) => {
            let addresses = slice.endpoints.iter().map(|it| it.address.to_string());
            format!("{} {}", slice.name, addresses.collect::<Vec<_>>().join(" "))
        }
        Change::Node(node) => format!("node {}", node.name),
        other => format!("{other:?}"),
    });
    said.collect()
}

#[test]
fn the_first_round_lists_and_later_ones_tell_differences() {
    let mut catalog = catalog();
    put(&mut catalog, "service.yaml", SERVICE);
    put(
        &mut catalog,
        "1.yaml",
        &pod("a-1", "alpaca-prod", "10.0.0.1"),
    );
    put(
        &mut catalog,
        "2.yaml",
        &pod("a-2", "alpaca-prod", "10.0.0.2"),
    );
    let first = catalog.round(0);
    let said = say(&first);
    assert_eq!(
        said[..4],
        [
            "Listing(Namespace)",
            "Listing(Node)",
            "Listing(EndpointSlice)",
            "Listing(Service)"
        ]
    );
    assert_eq!(said[4], "default/alpaca-prod-weiche-v4 10.0.0.1 10.0.0.2");
    assert!(
        said[5].starts_with("default/alpaca-prod [10.96."),
        "{said:?}"
    );
    assert_eq!(
        said[6..],
        [
            "Listed(Namespace)",
            "Listed(Node)",
            "Listed(EndpointSlice)",
            "Listed(Service)"
        ]
    );
    assert_eq!(first.problems, []);

    assert_eq!(say(&catalog.round(1)), [""; 0]);
    put(
        &mut catalog,
        "2.yaml",
        &pod("a-2", "alpaca-test", "10.0.0.2"),
    );
    assert_eq!(
        say(&catalog.round(2)),
        ["default/alpaca-prod-weiche-v4 10.0.0.1"]
    );
    put(&mut catalog, "2.yaml", "kind: [");
    let broken = catalog.round(3);
    assert_eq!((say(&broken).len(), broken.problems.len()), (0, 1));
    catalog.remove(&FileId {
        folder: 0,
        path: "1.yaml".into(),
    });
    let alone = catalog.round(4);
    assert_eq!(alone.changes.len(), 1, "{alone:?}");
    assert!(
        matches!(alone.changes[0], Change::SliceGone(_)),
        "{alone:?}"
    );
    let reason = "matches no Pod in namespace default";
    assert!(
        alone.problems.iter().any(|it| it.reason.contains(reason)),
        "{alone:?}"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_harms_nothing_else() {
    for (what, text, problem) in [
        (
            "a port out of range",
            "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 70000}]}",
            "x.yaml:1: Service default/x: port 70000 is not in 1-65535",
        ),
        (
            "a family without a CIDR",
            "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ipFamilies: [IPv6]}",
            "x.yaml:1: Service default/x: there is no IPv6 Service CIDR to take a Cluster-IP from",
        ),
        (
            "a slice of nobody",
            "# two\n# lines\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: \
             {name: x}\naddressType: IPv4\n",
            "x.yaml:3: EndpointSlice default/x: it belongs to no Service",
        ),
        (
            "a slice with the name of a computed one",
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: \
             alpaca-prod-weiche-v4, labels: {kubernetes.io/service-name: other}}\naddressType: \
             IPv4\n",
            "service.yaml:1: Service default/alpaca-prod: a manifest holds an EndpointSlice",
        ),
    ] {
        let mut catalog = catalog();
        put(&mut catalog, "service.yaml", SERVICE);
        put(
            &mut catalog,
            "1.yaml",
            &pod("a-1", "alpaca-prod", "10.0.0.1"),
        );
        put(&mut catalog, "x.yaml", text);
        let round = catalog.round(0);
        let said: Vec<String> = round.problems.iter().map(Problem::to_string).collect();
        assert_eq!(said.len(), 1, "{what}: {said:?}");
        assert!(said[0].starts_with(problem), "{what}: {said:?}");
        let served = say(&round);
        let good = |line: &String| line.starts_with("default/alpaca-prod [10.96.");
        assert!(served.iter().any(good), "{what}: {served:?}");
    }
}

#[test]
fn hand_made_slices_get_the_defaults_of_the_api() {
    let mut catalog = catalog();
    put(
        &mut catalog,
        "x.yaml",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x, labels: \
         {kubernetes.io/service-name: x}}\naddressType: IPv4\nports: [{port: 53}]\nendpoints: \
         [{addresses: [10.0.0.1]}]\n",
    );
    let round = catalog.round(0);
    let slices = round.changes.iter().filter_map(|change| match change {
        Change::Slice(slice) => Some(slice),
        _ => None,
    });
    let slices: Vec<_> = slices.collect();
    assert_eq!(slices.len(), 1);
    assert_eq!(slices[0].ports.len(), 1);
    assert!(slices[0].endpoints[0].ready && slices[0].endpoints[0].serving);
}
