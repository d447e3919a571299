// SPDX-License-Identifier: MIT OR Apache-2.0
//! The environment that Kubernetes gives a Pod's containers about Services.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort};

/// The variables for one Service with this Cluster-IP.
pub(crate) fn of_service(name: &str, service: &Service, address: IpAddr) -> Vec<(String, String)> {
    let prefix = upper(name);
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref());
    let ports = ports.unwrap_or_default();
    let Some(first) = ports.first() else {
        return Vec::new();
    };
    let mut variables = vec![
        (format!("{prefix}_SERVICE_HOST"), address.to_string()),
        (format!("{prefix}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let key = format!("{prefix}_SERVICE_PORT_{}", upper(name));
            variables.push((key, port.port.to_string()));
        }
    }
    variables.push((format!("{prefix}_PORT"), url(address, first)));
    for port in ports {
        let protocol = protocol(port);
        let key = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        variables.push((key.clone(), url(address, port)));
        variables.push((format!("{key}_PROTO"), protocol));
        variables.push((format!("{key}_PORT"), port.port.to_string()));
        variables.push((format!("{key}_ADDR"), address.to_string()));
    }
    variables
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn protocol(port: &ServicePort) -> String {
    port.protocol.as_deref().unwrap_or("TCP").to_lowercase()
}

/// As in links between containers: `tcp://10.96.0.7:8080`, brackets round IPv6 addresses.
fn url(address: IpAddr, port: &ServicePort) -> String {
    let number = u16::try_from(port.port).unwrap_or_default();
    format!("{}://{}", protocol(port), SocketAddr::new(address, number))
}

#[cfg(test)]
mod tests {
    use super::of_service;

    #[test]
    fn a_pod_sees_what_kubernetes_would_set() {
        let service = serde_json::json!({"spec": {"ports": [
            {"name": "http", "port": 80},
            {"name": "dns-udp", "port": 53, "protocol": "UDP"},
        ]}});
        let service = serde_json::from_value(service).expect("a Service");
        let address = "fd00::1".parse().expect("an address");
        let variables = of_service("alpaca-prod", &service, address);
        let lines: Vec<String> = variables
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let expected = [
            "ALPACA_PROD_SERVICE_HOST=fd00::1",
            "ALPACA_PROD_SERVICE_PORT=80",
            "ALPACA_PROD_SERVICE_PORT_HTTP=80",
            "ALPACA_PROD_SERVICE_PORT_DNS_UDP=53",
            "ALPACA_PROD_PORT=tcp://[fd00::1]:80",
            "ALPACA_PROD_PORT_80_TCP=tcp://[fd00::1]:80",
            "ALPACA_PROD_PORT_80_TCP_PROTO=tcp",
            "ALPACA_PROD_PORT_80_TCP_PORT=80",
            "ALPACA_PROD_PORT_80_TCP_ADDR=fd00::1",
            "ALPACA_PROD_PORT_53_UDP=udp://[fd00::1]:53",
            "ALPACA_PROD_PORT_53_UDP_PROTO=udp",
            "ALPACA_PROD_PORT_53_UDP_PORT=53",
            "ALPACA_PROD_PORT_53_UDP_ADDR=fd00::1",
        ];
        assert_eq!(lines, expected);
    }
}
