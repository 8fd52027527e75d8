//! The parts of the OpenAPI document that are made from a route.

use super::{Answer, Parameters, Route, SERVICE_CODES, SIGNED_CODES};
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::problem::{Code, PROBLEM_CONTENT_TYPE};
use crate::request::{
    HEADER_CLIENT, HEADER_EXPIRES, HEADER_IDEMPOTENCY_KEY, HEADER_SIGNATURE, MAX_IDEMPOTENCY_KEY, Method,
};
use crate::request_id::HEADER_REQUEST_ID;
use crate::schema::pattern;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AllOfBuilder, Components, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{ComponentsBuilder, ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder};

/// The described operation of a route.
pub(super) fn operation(route: &Route) -> Operation {
    let tag = if route.signed { "v1" } else { "service" };
    let mut operation =
        OperationBuilder::new().operation_id(Some(route.id)).summary(Some(route.summary)).tag(tag);
    for parameter in parameters(route) {
        operation = operation.parameter(parameter);
    }
    for (status, codes) in problems(route) {
        operation = operation.response(status.to_string(), problem(&codes));
    }
    if let Some(body) = route.body {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(body))).build();
        let body =
            RequestBodyBuilder::new().required(Some(Required::True)).content("application/json", content);
        operation = operation.request_body(Some(body.build()));
    }
    for (status, description, answer) in route.answers {
        operation = operation.response(status.to_string(), success(description, *answer));
    }
    operation.build()
}

fn success(description: &str, answer: Answer) -> Response {
    let response = ResponseBuilder::new().description(description).header(HEADER_REQUEST_ID, request_id());
    match answer {
        Answer::Json(schema) => {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
            response.content("application/json", content)
        }
        Answer::Bytes => {
            response.content("application/octet-stream", ContentBuilder::new().schema(Some(string())).build())
        }
        Answer::Events => {
            let content = ContentBuilder::new().schema(Some(event())).build();
            response.content("text/event-stream", content)
        }
        Answer::Text => response.content("text/plain", ContentBuilder::new().schema(Some(string())).build()),
    }
    .build()
}

/// One event of a stream, as its fields; `data` is JSON with the schema `Event`.
fn event() -> Schema {
    let data = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::String))
        .content_media_type("application/json")
        .description(Some("JSON with the schema `Event`."))
        .build();
    let event = ObjectBuilder::new()
        .property("id", pattern("^(0|[1-9][0-9]{0,19})$"))
        .property("event", Ref::from_schema_name("EventKind"))
        .property("data", data)
        .required("id")
        .required("event")
        .required("data");
    Schema::Object(event.build())
}

/// The problems of a route by HTTP status.
fn problems(route: &Route) -> BTreeMap<u16, Vec<Code>> {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    let common = if route.signed { SIGNED_CODES } else { SERVICE_CODES };
    for code in common.iter().chain(route.codes) {
        by_status.entry(code.status()).or_default().push(*code);
    }
    by_status
}

/// A problem with one of these codes: which ones a route answers is part of its description, so that a test can hold it to that.
fn problem(codes: &[Code]) -> Response {
    let lines: Vec<String> = codes.iter().map(|code| format!("`{code}`: {}", code.title())).collect();
    let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
    let code =
        ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(names)).build();
    let one_of_these = ObjectBuilder::new().property("code", code).build();
    let schema =
        Schema::AllOf(AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(one_of_these).build());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response =
        ResponseBuilder::new().description(lines.join("; ")).content(PROBLEM_CONTENT_TYPE, content);
    let response = response.header(HEADER_REQUEST_ID, request_id());
    if !codes.contains(&Code::RateLimited) {
        return response.build();
    }
    let seconds = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).minimum(Some(0)).build();
    let retry = HeaderBuilder::new().schema(Some(seconds));
    response
        .header("Retry-After", retry.description(Some("After how many seconds to come again.")).build())
        .build()
}

fn request_id() -> Header {
    let schema = pattern("^[A-Za-z0-9._-]{1,64}$");
    HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some("Names this answer in the node's log."))
        .build()
}

fn parameters(route: &Route) -> Vec<Parameter> {
    let mut list = Vec::new();
    if route.path.contains("{key}") {
        list.push(path_parameter("key", "The key's identifier.", "KeyId"));
    }
    if route.path.contains("{operation}") {
        list.push(path_parameter("operation", "The operation's identifier.", "OperationId"));
    }
    if route.path.contains("{path}") {
        // Slashes included, which OpenAPI cannot say.
        let tile = pattern("^(entries|[0-9]{1,2})/(x[0-9]{3}/){0,5}[0-9]{3}(\\.p/[0-9]{1,3})?$");
        list.push(parameter("path", ParameterIn::Path, true, "Which tile: what follows `tile/`.", tile));
    }
    match route.parameters {
        Parameters::None => {}
        Parameters::List => {
            let limit = ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::Integer))
                .minimum(Some(1))
                .maximum(Some(MAX_LIMIT))
                .default(Some(DEFAULT_LIMIT.into()))
                .build();
            list.push(parameter(
                "limit",
                ParameterIn::Query,
                false,
                "Most items to answer.",
                Schema::Object(limit),
            ));
            let after = pattern("^[0-9A-Za-z_.-]{1,128}$");
            list.push(parameter("after", ParameterIn::Query, false, "The `next` of the page before.", after));
        }
        Parameters::LastEvent => {
            let place = pattern("^(0|[1-9][0-9]{0,19})$");
            let description = "The last event the client has; not signed, as it only says where to begin.";
            list.push(parameter("Last-Event-ID", ParameterIn::Header, false, description, place));
        }
        Parameters::Wait => {
            let wait = pattern("^[0-9]{1,5}(ms|s|m)$");
            let description = "Wait up to this long for the operation to end, such as `10s`; at most 60 s.";
            list.push(parameter("wait", ParameterIn::Query, false, description, wait));
        }
    }
    if route.signed {
        list.extend(signing_headers(route.method));
    }
    list
}

fn signing_headers(method: Method) -> [Parameter; 4] {
    let header = |name: &str, required: bool, description: &str, schema: Schema| {
        parameter(name, ParameterIn::Header, required, description, schema)
    };
    let key = pattern(&format!("^[!-~]{{1,{MAX_IDEMPOTENCY_KEY}}}$"));
    let needs_key = method != Method::Get;
    [
        header(
            HEADER_CLIENT,
            true,
            "The name of the client that asks.",
            pattern("^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$"),
        ),
        header(
            HEADER_EXPIRES,
            true,
            "Until when the request is valid, in unix seconds.",
            pattern("^(0|[1-9][0-9]{0,19})$"),
        ),
        header(
            HEADER_SIGNATURE,
            true,
            "The client's signature over the request.",
            pattern("^[0-9a-f]{128}$"),
        ),
        header(
            HEADER_IDEMPOTENCY_KEY,
            needs_key,
            "Names the request: repeating it gives the same operation.",
            key,
        ),
    ]
}

fn path_parameter(name: &str, description: &str, schema: &str) -> Parameter {
    parameter(name, ParameterIn::Path, true, description, Ref::from_schema_name(schema))
}

fn parameter(
    name: &str,
    place: ParameterIn,
    required: bool,
    description: &str,
    schema: impl Into<RefOr<Schema>>,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(if required { Required::True } else { Required::False })
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

fn string() -> Schema {
    Schema::Object(ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).build())
}

/// Collects schemas with all that they refer to.
pub(super) struct Collector(BTreeMap<String, RefOr<Schema>>);

pub(super) fn components() -> Collector {
    Collector(BTreeMap::new())
}

impl Collector {
    pub(super) fn add<T: ToSchema>(self) -> Self {
        self.add_as::<T>(&T::name())
    }

    /// For generic types, whose own name does not say what they hold.
    pub(super) fn add_as<T: ToSchema>(mut self, name: &str) -> Self {
        let mut referred = Vec::new();
        T::schemas(&mut referred);
        self.0.extend(referred);
        self.0.insert(name.to_owned(), T::schema());
        self
    }

    pub(super) fn build(self) -> Components {
        ComponentsBuilder::new().schemas_from_iter(self.0).build()
    }
}
