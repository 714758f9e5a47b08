//! `kafka-configs`.

use crate::Tools;
use crate::support::topic::Topic;

const CONFIGS: &str = "kafka.admin.ConfigCommand";

/// Set, describe, remove; a name or a value that is none.
#[tokio::test]
async fn settings_of_a_topic() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let topic = Topic::create(1).await;
    let name = topic.name.as_str();
    let entity = ["--entity-type", "topics", "--entity-name", name];
    let run = async |more: &[&str]| tools.run(CONFIGS, &[&entity[..], more].concat()).await;

    let completed = format!("Completed updating config for topic {name}.\n");
    assert_eq!(
        run(&["--alter", "--add-config", "retention.ms=1234567"])
            .await
            .well(),
        completed
    );
    let described = run(&["--describe"]).await;
    let line = "  retention.ms=1234567 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1234567}";
    assert!(
        described
            .well()
            .starts_with(&format!("Dynamic configs for topic {name} are:\n")),
        "{described}"
    );
    assert!(
        described
            .well()
            .lines()
            .any(|said| said.starts_with(&line[..line.len() - 1])),
        "{described}"
    );

    assert_eq!(
        run(&["--alter", "--delete-config", "retention.ms"])
            .await
            .well(),
        completed
    );
    let described = run(&["--describe"]).await;
    assert!(!described.well().contains("retention.ms"), "{described}");
    let everything = run(&["--describe", "--all"]).await;
    assert!(
        everything
            .well()
            .contains("  retention.ms=604800000 sensitive=false synonyms={"),
        "{everything}"
    );

    let unknown = run(&["--alter", "--add-config", "no.such.setting=1"]).await;
    assert!(
        unknown
            .errors
            .contains("InvalidConfigurationException: Unknown topic config name: no.such.setting"),
        "{unknown}"
    );
    let impossible = run(&["--alter", "--add-config", "retention.ms=soon"]).await;
    assert!(
        !impossible.success && impossible.errors.contains("InvalidConfigurationException"),
        "{impossible}"
    );
}
