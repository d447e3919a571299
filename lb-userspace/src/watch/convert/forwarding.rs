// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a Service wants clients from outside to get to backends of other nodes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::model::Forwarding;

/// The annotation.
const FORWARDING: &str = "weiche.dev/forwarding";

pub(super) fn wanted(metadata: &ObjectMeta, ignored: &mut Vec<String>) -> Option<Forwarding> {
    let text = metadata.annotations.as_ref()?.get(FORWARDING)?;
    let mut known = Forwarding::ALL.into_iter();
    let found = known.find(|known| known.name() == text);
    if found.is_none() {
        let [first, second, third] = Forwarding::ALL;
        ignored.push(format!(
            "annotation {FORWARDING} {text:?} is none of {first}, {second} and {third}; what \
             --forwarding says is used"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn services_say_how_they_are_forwarded_to() {
        use Forwarding::{Geneve, Ipip, Snat};
        let unknown = "annotation weiche.dev/forwarding \"dsr\" is none of snat, dsr-ipip and \
                       dsr-geneve; what --forwarding says is used";
        let unlike = unknown.replace("dsr\"", "DSR-IPIP\"");
        let empty = unknown.replace("dsr\"", "\"");
        for (annotations, want, said) in [
            (Value::Null, None, None),
            (json!({"other/forwarding": "dsr-ipip"}), None, None),
            (json!({"weiche.dev/forwarding": "snat"}), Some(Snat), None),
            (
                json!({"weiche.dev/forwarding": "dsr-ipip"}),
                Some(Ipip),
                None,
            ),
            (
                json!({"weiche.dev/forwarding": "dsr-geneve"}),
                Some(Geneve),
                None,
            ),
            (json!({"weiche.dev/forwarding": "dsr"}), None, Some(unknown)),
            (
                json!({"weiche.dev/forwarding": "DSR-IPIP"}),
                None,
                Some(&*unlike),
            ),
            (json!({"weiche.dev/forwarding": ""}), None, Some(&*empty)),
        ] {
            let metadata = json!({"name": "web", "annotations": annotations});
            let metadata = serde_json::from_value(metadata).expect("a row's annotations");
            let mut ignored = Vec::new();
            assert_eq!(wanted(&metadata, &mut ignored), want, "{annotations}");
            assert_eq!(ignored, Vec::from_iter(said), "{annotations}");
        }
    }
}
