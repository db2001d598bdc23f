//! Logs and traces: to the terminal as text or JSON, to Loki, to whoever takes OTLP.
//!
//! What goes over the network is gathered in the background, bounded, and dropped when nobody takes
//! it: a receiver that is away never slows the program down.

mod background;
mod loki;
mod otlp;

#[cfg(test)]
mod tests;

use background::Background;
use loki::{Loki, Pump};
use model::{Problem, Result, codes};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TracerProvider,
};
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::Write;
use std::time::Duration;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};
use url::Url;

/// What waits in the background is sent within this time at the end, or lost.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How lines look in the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and where it goes.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Which lines, as `info` or `warn,server=debug`.
    pub filter: String,
    /// How lines look in the terminal.
    pub format: Format,
    /// Address of a Loki, such as `http://loki:3100`.
    pub loki: Option<String>,
    /// Address of a receiver of OTLP over HTTP, such as `http://collector:4318`.
    pub otlp: Option<String>,
    /// The name of this machine or container, for whoever reads the logs of several.
    pub instance: String,
}

/// Logs and traces at work.
#[derive(Debug)]
pub struct Logging {
    pump: Option<Pump>,
    tracer: Option<SdkTracerProvider>,
    _background: Option<Background>,
}

impl Logging {
    /// Begins to log to the standard error output and to where the settings say.
    ///
    /// # Errors
    ///
    /// `setting_invalid` for a filter or an address that cannot be read.
    pub fn install(settings: &Settings) -> Result<Self> {
        let (logging, subscriber) = Self::build(settings, std::io::stderr)?;
        subscriber.try_init().map_err(|error| {
            Problem::new(&codes::INTERNAL, "logging has begun already").detail(error)
        })?;
        Ok(logging)
    }

    /// What installing uses, with another output.
    fn build<W>(
        settings: &Settings,
        output: W,
    ) -> Result<(Self, impl Subscriber + Send + Sync + for<'a> LookupSpan<'a>)>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let filter = EnvFilter::try_new(&settings.filter).map_err(|error| {
            Problem::new(&codes::SETTING_INVALID, "the filter of the log cannot be read")
                .detail(error)
                .hint("write it like `info` or `warn,server=debug`")
        })?;
        let background = match (&settings.loki, &settings.otlp) {
            (None, None) => None,
            _ => Some(Background::start()?),
        };
        let (loki, pump) = match (&settings.loki, &background) {
            (Some(url), Some(background)) => {
                let url = address(url, "loki/api/v1/push")?;
                let (loki, pump) = Loki::start(url, &settings.instance, background)?;
                (Some(loki), Some(pump))
            }
            _ => (None, None),
        };
        let tracer = match (&settings.otlp, &background) {
            (Some(url), Some(background)) => {
                let url = address(url, "v1/traces")?;
                Some(otlp::provider(url, &settings.instance, background)?)
            }
            _ => None,
        };
        let spans = tracer.as_ref().map(|provider| {
            tracing_opentelemetry::layer().with_tracer(provider.tracer("affluent"))
        });
        let terminal = match settings.format {
            Format::Text => fmt::layer().with_writer(output).boxed(),
            Format::Json => fmt::layer().json().flatten_event(true).with_writer(output).boxed(),
        };
        let subscriber =
            tracing_subscriber::registry().with(terminal).with(loki).with(spans).with(filter);
        Ok((Self { pump, tracer, _background: background }, subscriber))
    }

    /// Sends what waits, for at most some seconds. Call it before the program ends.
    pub fn shut_down(self) {
        if let Some(pump) = &self.pump {
            pump.flush(FLUSH_TIMEOUT);
        }
        if let Some(tracer) = &self.tracer
            && let Err(error) = tracer.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            // The log itself is what ends here: there is no better place to say so.
            let _ = writeln!(std::io::stderr(), "the last traces are lost: {error}");
        }
    }
}

/// The address of a receiver with the path of its interface behind it.
fn address(base: &str, path: &str) -> Result<Url> {
    let invalid = || {
        Problem::new(&codes::SETTING_INVALID, format!("`{base}` is not the address of a receiver"))
            .hint("write it like `http://loki:3100`")
    };
    let url = Url::parse(&format!("{}/{path}", base.trim_end_matches('/')));
    let url = url.map_err(|error| invalid().detail(error))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(invalid()),
    }
}

/// Names a span for another process, as the header `traceparent` of W3C; none without traces.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let context = span.span_context();
    context.is_valid().then(|| {
        let flags = context.trace_flags().to_u8();
        format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())
    })
}

/// Makes a span follow one of another process that [`traceparent`] has named. What is not such a
/// name changes nothing.
pub fn follow(span: &Span, traceparent: &str) {
    let mut parts = traceparent.split('-');
    let mut next = || parts.next().unwrap_or_default();
    let (version, trace, parent, flags) = (next(), next(), next(), next());
    let (Ok(trace), Ok(parent)) = (TraceId::from_hex(trace), SpanId::from_hex(parent)) else {
        return;
    };
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).unwrap_or(0));
    let context = SpanContext::new(trace, parent, flags, true, Default::default());
    if version == "00" && context.is_valid() {
        let context = opentelemetry::Context::new().with_remote_span_context(context);
        // Refused only when the span has begun to be exported, or nobody exports.
        let _ = span.set_parent(context);
    }
}
