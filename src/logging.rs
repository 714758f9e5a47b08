//! Logs for programs: quiet by default, so that what a program prints is what it has to say.
//!
//! | variable | holds |
//! |---|---|
//! | `RUST_LOG` | what is logged, such as `info` or `kafka_event_streaming=debug` |
//! | `LOG_FORMAT` | `text` for people, which is the default, or `json` for machines: one object a line |

use std::env;

use tracing::{Subscriber, warn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// The variable that says how log lines look.
pub const LOG_FORMAT_VARIABLE: &str = "LOG_FORMAT";

/// Without `RUST_LOG`: our own warnings, and nothing of librdkafka. Its log repeats as an error what the program is
/// told anyway (a refused connection, once a second), which hides the lesson.
const DEFAULT_FILTER: &str = "warn,rdkafka=off,librdkafka=off";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

/// Sends log lines to standard error. `RUST_LOG=info`, or `RUST_LOG=librdkafka=debug`, shows more; `LOG_FORMAT=json`
/// makes each line an object, with the fields of the event and of the spans around it (row S1-11).
///
/// A format that does not exist is named in a warning, and lines are text: no program should fail because of how it
/// logs. A second call does nothing: the first subscriber of a process stays.
pub fn init() {
    init_filtered(DEFAULT_FILTER);
}

/// As [`init`], but without the lines of `module`, such as `kafka_event_streaming::dead_letter`: for a program that prints
/// itself what that warns of. `RUST_LOG` brings them back.
pub fn init_without(module: &str) {
    init_filtered(&format!("{DEFAULT_FILTER},{module}=off"));
}

/// As [`init`], with one more layer, such as OpenTelemetry's. It sees the spans that `RUST_LOG` lets through, which are
/// those that log lines have: give at least `info`.
///
/// ```
/// use kafka_event_streaming::logging;
///
/// logging::init_with(tracing_opentelemetry::layer());
/// ```
pub fn init_with<L>(layer: L)
where
    L: Layer<Layered<EnvFilter, Registry>> + Send + Sync,
{
    // One filter for both. With one for each layer, a question whether something would be logged, as librdkafka's binding
    // asks it, leaves its answer behind, and the next span is missing in the lines (tracing-subscriber 0.3.23).
    let subscriber = Registry::default().with(filter(DEFAULT_FILTER)).with(layer);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let _ = match format().0 {
        Some(Format::Json) => subscriber.with(lines.json()).try_init(),
        _ => subscriber.with(lines).try_init(),
    };
}

fn filter(default: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
}

/// The format that is asked for, if there is such a one, and what the variable holds.
fn format() -> (Option<Format>, Option<String>) {
    let value = env::var_os(LOG_FORMAT_VARIABLE).map(|value| value.to_string_lossy().into_owned());
    (Format::parse(value.as_deref()), value)
}

fn init_filtered(default_filter: &str) {
    let filter = filter(default_filter);
    let (format, value) = format();
    let _ = subscriber(format.unwrap_or(Format::Text), filter, std::io::stderr).try_init();
    if format.is_none() {
        let value = value.unwrap_or_default();
        warn!(
            "{LOG_FORMAT_VARIABLE} is {value:?}, but that is no format: give text or json, or unset it"
        );
    }
}

impl Format {
    /// The format that the variable asks for, if there is such a one.
    fn parse(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("text") => Some(Self::Text),
            Some("json") => Some(Self::Json),
            Some(_) => None,
        }
    }
}

fn subscriber<W>(format: Format, filter: EnvFilter, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match format {
        Format::Text => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{info, info_span};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(format, EnvFilter::new("info"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            info_span!("publish", topic = "orders", key = "o-1")
                .in_scope(|| info!(offset = 7, "delivered"));
        });
        String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
    }

    /// S1-11: one JSON object a line, in which fields of event and spans can be asked for.
    #[test]
    fn json_lines_hold_the_fields_of_event_and_spans() {
        let line: Value = serde_json::from_str(&logged(Format::Json)).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["fields"]["message"], "delivered");
        assert_eq!(line["fields"]["offset"], 7);
        assert_eq!(line["span"]["topic"], "orders");
        assert_eq!(line["span"]["key"], "o-1");
        let text = logged(Format::Text);
        assert!(text.contains("delivered") && serde_json::from_str::<Value>(&text).is_err());
    }

    /// S1-11: text unless JSON is asked for.
    #[test]
    fn the_variable_names_one_of_two_formats() {
        assert_eq!(Format::parse(None), Some(Format::Text));
        assert_eq!(Format::parse(Some("text")), Some(Format::Text));
        assert_eq!(Format::parse(Some("json")), Some(Format::Json));
        assert_eq!(Format::parse(Some("xml")), None);
    }
}
