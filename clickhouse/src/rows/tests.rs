use super::*;

fn columns_of<T: Table>() -> Vec<Column> {
    T::fields()
        .iter()
        .map(|field| Column {
            name: field.name.to_owned(),
            data_type: field.data_type.to_owned(),
        })
        .collect()
}

fn batch() -> BatchRow {
    BatchRow {
        source: crate::SourcePartition::new(1, "events.web", 2),
        range: crate::OffsetRange { first: 3, last: 4 },
        n_events: 1,
        n_failed: 1,
        n_lost: 0,
        n_absent: 0,
        min_received_at_ms: 5,
        max_received_at_ms: 6,
        processor_version: "v".into(),
        schema_set: "s".into(),
        shard: String::new(),
    }
}

#[test]
fn rows_follow_the_order_of_the_table() {
    let mut columns = columns_of::<Batches>();
    columns.retain(|column| ["first", "topic", "stream"].contains(&column.name.as_str()));
    let lacking = BatchEncoder::new(columns.clone())
        .err()
        .unwrap()
        .to_string();
    assert!(
        lacking.starts_with("table batches lacks the columns last, max_received_at,"),
        "{lacking}"
    );

    let mut all = columns_of::<Batches>();
    all.reverse();
    let encoder = BatchEncoder::new(all).ok().unwrap();
    assert!(
        encoder
            .column_list()
            .starts_with("`token`, `shard`, `schema_set`")
    );
    let mut row = Vec::new();
    encoder.encode(&batch(), &mut row);
    assert_eq!(&row[..20], b"\x121:events.web:2:3-4\x00");
    assert!(row.ends_with(b"\x0aevents.web\x01\x00\x00\x00"));
}

#[test]
fn columns_nobody_fills_are_left_out() {
    let mut columns = columns_of::<Batches>();
    columns.insert(
        1,
        Column {
            name: "inserted_at".into(),
            data_type: "DateTime".into(),
        },
    );
    let encoder = BatchEncoder::new(columns).ok().unwrap();
    assert_eq!(encoder.columns(), columns_of::<Batches>());
}

#[test]
fn a_type_may_differ_only_in_how_it_is_stored() {
    assert!(same_type("LowCardinality(String)", "String"));
    assert!(same_type("Array(String)", "Array(LowCardinality(String))"));
    assert!(same_type("JSON(max_dynamic_paths=16)", "JSON"));
    assert!(!same_type("Nullable(String)", "String"));
    assert!(!same_type("DateTime64(6, 'UTC')", "DateTime64(3, 'UTC')"));
}

#[test]
fn every_field_of_a_table_has_a_layout() {
    for column in columns_of::<Events>()
        .into_iter()
        .chain(columns_of::<FailedEvents>())
        .chain(columns_of::<Batches>())
    {
        assert!(
            crate::columns::Layout::of(&column.data_type).is_some(),
            "{}",
            column.name
        );
    }
}
