//! Where a node's log lines and traces go.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use quorate_node::config::{Config, LogFormat};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::runtime::Handle;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How long a collector may take for one batch, and a node that ends for its last one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer of a collector that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// What must be brought to its end with the node.
#[derive(Debug)]
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Sends what is left. Must be called outside of the runtime's own threads.
    pub(crate) fn finish(self) {
        if let Some(traces) = self.0 {
            // Nobody is left to be told.
            traces.shutdown_with_timeout(PATIENCE).unwrap_or_default();
        }
    }
}

/// Logs to standard error, and sends spans to the configured collector, if there is one.
pub(crate) fn start(config: &Config, runtime: &Handle) -> anyhow::Result<Telemetry> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match config.log.format {
        LogFormat::Json => lines.json().boxed(),
        LogFormat::Text => lines.boxed(),
    };
    let traces =
        config.telemetry.otlp_endpoint.as_deref().map(|endpoint| provider(config, endpoint, runtime));
    let traces = traces.transpose()?;
    let spans = traces.as_ref().map(|traces| {
        let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer("quorate"));
        let layer = layer.with_location(false).with_threads(false).with_tracked_inactivity(false);
        // What the sending itself says must not be sent.
        layer.with_filter(filter_fn(|what| what.target().starts_with("quorate")))
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(LevelFilter::INFO))
        .with(spans.with_filter(LevelFilter::INFO))
        .init();
    Ok(Telemetry(traces))
}

fn provider(config: &Config, endpoint: &str, runtime: &Handle) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender {
            runtime: runtime.clone(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        })
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(PATIENCE)
        .build()
        .with_context(|| format!("traces cannot be sent to `{endpoint}`"))?;
    let resource = Resource::builder_empty()
        .with_service_name("quorate")
        .with_attributes([
            KeyValue::new("service.instance.id", config.name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Sends batches on the node's runtime: they are made on a thread of their own, where there is none.
#[derive(Debug)]
struct Sender {
    runtime: Handle,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl HttpClient for Sender {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let sent = self.client.request(request.map(Full::new));
        let asked = self.runtime.spawn(async move {
            let answered = tokio::time::timeout(PATIENCE, async {
                let (parts, body) = sent.await?.into_parts();
                let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
                Ok::<_, HttpError>(Response::from_parts(parts, body))
            });
            answered.await?
        });
        Box::pin(async move { asked.await? })
    }
}
