//! From `OpenMetrics`, which `prometheus-client` writes, to the older text format that everything
//! reads. It declares counters under the full name of their samples and has no end mark.

/// The same metrics in the Prometheus text format, version 0.0.4.
pub(super) fn from_open_metrics(open_metrics: &str) -> String {
    let counters: Vec<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let lines = open_metrics.lines().filter(|line| *line != "# EOF");
    lines
        .flat_map(|line| [renamed(line, &counters), "\n".to_owned()])
        .collect()
}

/// A line that declares a counter, with the name that its samples have; any other as it is.
fn renamed(line: &str, counters: &[&str]) -> String {
    let mut words = line.splitn(4, ' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("#"), Some(keyword), Some(name), Some(rest)) if counters.contains(&name) => {
            format!("# {keyword} {name}_total {rest}")
        }
        _ => line.to_owned(),
    }
}
