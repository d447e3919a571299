// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which path leads to what, and what is done for each request alike.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, Query, State},
    http::{HeaderMap, Uri},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::Value;

use super::{
    Shared, ask::Ask, discovery, faults, list, objects::Resource, port_forward, refusal, watch,
};

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/version", get(|| async { discovery::version() }))
        .route(
            "/api",
            get(|headers: HeaderMap| async move { discovery::api(&headers) }),
        )
        .route("/apis", get(|| async { discovery::apis() }))
        .route("/api/v1", get(|| async { discovery::resources("v1") }))
        .route(
            "/apis/discovery.k8s.io/v1",
            get(|| async { discovery::resources("discovery.k8s.io/v1") }),
        )
        .route("/api/v1/{plural}", get(everywhere))
        .route("/apis/discovery.k8s.io/v1/{plural}", get(everywhere))
        .route("/api/v1/namespaces/{namespace}/{plural}", get(in_namespace))
        .route(
            "/apis/discovery.k8s.io/v1/namespaces/{namespace}/{plural}",
            get(in_namespace),
        )
        .route("/api/v1/namespaces/{namespace}/{plural}/{name}", get(one))
        .route(
            "/api/v1/namespaces/{namespace}/pods/{name}/portforward",
            get(port_forward::answer),
        )
        .fallback(|| async { refusal::not_found() })
        .with_state(shared)
}

async fn everywhere(
    State(shared): State<Arc<Shared>>,
    Path(plural): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    Query(ask): Query<Ask>,
) -> Response {
    match named(&plural, &uri) {
        Some(resource) => answer(&shared, resource, None, &uri, &headers, &ask).await,
        None => refusal::not_found(),
    }
}

async fn in_namespace(
    State(shared): State<Arc<Shared>>,
    Path((namespace, plural)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
    Query(ask): Query<Ask>,
) -> Response {
    match named(&plural, &uri) {
        Some(resource) if !ask.is_watch() => {
            answer(&shared, resource, Some(&namespace), &uri, &headers, &ask).await
        }
        _ => refusal::not_found(),
    }
}

async fn one(
    State(shared): State<Arc<Shared>>,
    Path((namespace, plural, name)): Path<(String, String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Some(resource) = named(&plural, &uri) else {
        return refusal::not_found();
    };
    shared.note(&uri);
    if let Some(refused) = faults::before_answer(&shared, resource, &headers).await {
        return refused;
    }
    let object = shared.objects().one(resource, &namespace, &name);
    match object {
        Some(object) => axum::Json(typed(resource, &object)).into_response(),
        None => refusal::no_object(resource, &name),
    }
}

/// The resource of this name, in the group that the path names.
fn named(plural: &str, uri: &Uri) -> Option<Resource> {
    let is_core = uri.path().starts_with("/api/");
    let mut all = Resource::SERVED.into_iter();
    all.find(|it| it.plural() == plural && (it.api_version() == "v1") == is_core)
}

/// An object by itself says what it is.
pub(super) fn typed(resource: Resource, object: &Value) -> Value {
    let mut object = object.clone();
    object["kind"] = resource.kind().into();
    object["apiVersion"] = resource.api_version().into();
    object
}

async fn answer(
    shared: &Arc<Shared>,
    resource: Resource,
    namespace: Option<&str>,
    uri: &Uri,
    headers: &HeaderMap,
    ask: &Ask,
) -> Response {
    shared.note(uri);
    if let Some(refused) = faults::before_answer(shared, resource, headers).await {
        return refused;
    }
    if let Err(refused) = ask.check() {
        return refused.into_response();
    }
    if ask.is_watch() {
        return watch::answer(shared, resource, ask);
    }
    let faults = shared.climate.of(resource).borrow().faults.clone();
    match list::answer(&shared.objects(), resource, namespace, ask, faults.page) {
        Ok(mut body) => {
            if let Some(no_list) = faults.no_list {
                no_list.bend(&mut body);
            }
            axum::Json(body).into_response()
        }
        Err(refused) => refused.into_response(),
    }
}
