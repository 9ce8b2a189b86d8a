//! Template variables of migrations: what differs between one node and a replicated cluster.

/// Blocks a table remembers to recognise a resend: see the decision on exactly-once delivery.
const WINDOW: u32 = 100_000;
const WINDOW_SECONDS: u32 = 7 * 24 * 3600;

/// What the tables are laid out on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    #[default]
    SingleNode,
    /// The replicas of a cluster, one shard. Its servers define the macros `shard` and `replica`.
    Cluster {
        /// Name of the cluster in the servers' configuration.
        name: String,
    },
}

impl Topology {
    /// Returns a statement with its variables replaced: `{on_cluster}`, `{merge_tree}`, `{aggregating_merge_tree}`,
    /// `{replacing_merge_tree:version_column}` and `{deduplication}`.
    ///
    /// # Errors
    ///
    /// The name of an unknown variable.
    pub(super) fn render(&self, statement: &str) -> Result<String, String> {
        let mut out = String::with_capacity(statement.len());
        let mut rest = statement;
        while let Some((before, after)) = rest.split_once('{') {
            let (variable, after) = after.split_once('}').ok_or("a { is not closed")?;
            out.push_str(before);
            out.push_str(
                &self
                    .variable(variable)
                    .ok_or_else(|| format!("unknown variable {{{variable}}}"))?,
            );
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn variable(&self, variable: &str) -> Option<String> {
        let (name, argument) = variable.split_once(':').unwrap_or((variable, ""));
        Some(match (name, argument) {
            ("on_cluster", "") => match self {
                Self::SingleNode => String::new(),
                Self::Cluster { name } => format!("ON CLUSTER '{}'", name.replace('\'', "''")),
            },
            ("merge_tree", "") => self.engine("MergeTree", ""),
            ("aggregating_merge_tree", "") => self.engine("AggregatingMergeTree", ""),
            ("replacing_merge_tree", version) if !version.is_empty() => {
                self.engine("ReplacingMergeTree", version)
            }
            ("deduplication", "") => match self {
                Self::SingleNode => format!("non_replicated_deduplication_window = {WINDOW}"),
                Self::Cluster { .. } => format!(
                    "replicated_deduplication_window = {WINDOW}, \
                     replicated_deduplication_window_seconds = {WINDOW_SECONDS}"
                ),
            },
            _ => return None,
        })
    }

    fn engine(&self, engine: &str, argument: &str) -> String {
        match self {
            Self::SingleNode if argument.is_empty() => engine.to_owned(),
            Self::SingleNode => format!("{engine}({argument})"),
            Self::Cluster { .. } => {
                let separator = if argument.is_empty() { "" } else { ", " };
                format!(
                    "Replicated{engine}('/clickhouse/tables/{{uuid}}/{{shard}}', '{{replica}}'{separator}{argument})"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str = "CREATE TABLE t {on_cluster} (a UInt8) ENGINE = {replacing_merge_tree:a} SETTINGS {deduplication}";

    #[test]
    fn one_node_gets_plain_engines() {
        assert_eq!(
            Topology::SingleNode.render(STATEMENT).unwrap(),
            "CREATE TABLE t  (a UInt8) ENGINE = ReplacingMergeTree(a) \
             SETTINGS non_replicated_deduplication_window = 100000"
        );
    }

    #[test]
    fn a_cluster_gets_replicated_engines_and_a_window_in_time_too() {
        let cluster = Topology::Cluster {
            name: "main".into(),
        };
        assert_eq!(
            cluster.render(STATEMENT).unwrap(),
            "CREATE TABLE t ON CLUSTER 'main' (a UInt8) \
             ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', a) \
             SETTINGS replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800"
        );
    }

    #[test]
    fn an_unknown_variable_is_an_error() {
        assert_eq!(
            Topology::SingleNode.render("{engine}").unwrap_err(),
            "unknown variable {engine}"
        );
        assert!(Topology::SingleNode.render("{merge_tree").is_err());
    }
}
