//! Deduplication state out of the stored events.

use std::collections::BTreeSet;

use weir_clickhouse::SourcePartition;
use weir_clickhouse::compress::Body;
use weir_clickhouse::state::{self, Seen, SeenQuery};

use crate::support::{TestDb, Writer, encode, page_view, range, web};

async fn load(test: &TestDb, query: &SeenQuery<'_>) -> BTreeSet<u128> {
    let mut events = state::seen(&test.db, query).unwrap();
    let mut seen = BTreeSet::new();
    while let Some(Seen { event_id, .. }) = events.next().await.unwrap() {
        seen.insert(event_id.as_u128() - 0x1000);
    }
    seen
}

#[tokio::test]
async fn state_is_what_falls_on_the_partition_below_the_offset() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    // In these tests an event's key hash is its offset.
    writer.page_views(&web(), range(0, 9)).await;
    // Other topics of the platform, with other numbers of partitions.
    writer
        .page_views(&SourcePartition::new(7, "events.old", 3), range(100, 103))
        .await;
    writer
        .page_views(&SourcePartition::new(1, "events.web", 1), range(200, 203))
        .await;
    let source = web();
    let query = SeenQuery {
        source: &source,
        platform: "web",
        partitions: 2,
        below: 6,
        after_ms: 0,
    };
    assert_eq!(
        load(&test, &query).await,
        BTreeSet::from([0, 1, 2, 3, 4, 5, 100, 102, 200, 202])
    );
    let late = SeenQuery {
        after_ms: page_view(4).received_at_ms - 1,
        ..query
    };
    assert_eq!(
        load(&test, &late).await,
        BTreeSet::from([4, 5, 100, 102, 200, 202])
    );
}

#[tokio::test]
async fn what_the_partition_stored_is_its_state_whatever_platform_it_names() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(0, 3)).await;
    writer
        .page_views(&SourcePartition::new(1, "events.web", 1), range(100, 103))
        .await;
    let former = SourcePartition::new(0, "events.web", 0);
    writer.page_views(&former, range(200, 201)).await;
    let source = web();
    let query = SeenQuery {
        source: &source,
        platform: "ios",
        partitions: 2,
        below: 3,
        after_ms: 0,
    };
    assert_eq!(
        load(&test, &query).await,
        BTreeSet::from([0, 1, 2, 200, 201])
    );
    assert_eq!(
        state::latest_received_ms(&test.db, &query).await.unwrap(),
        Some(page_view(201).received_at_ms)
    );
}

#[tokio::test]
async fn seen_events_carry_source_and_time() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(0, 0)).await;
    let source = web();
    let mut events = state::seen(
        &test.db,
        &SeenQuery {
            source: &source,
            platform: "web",
            partitions: 1,
            below: 1,
            after_ms: 0,
        },
    )
    .unwrap();
    let event = page_view(0);
    assert_eq!(
        events.next().await.unwrap(),
        Some(Seen {
            source_id: "web".into(),
            event_id: event.event_id,
            received_at_ms: event.received_at_ms,
        })
    );
    assert_eq!(events.next().await.unwrap(), None);
}

#[tokio::test]
async fn the_running_maximum_starts_from_the_stored_rows() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    let source = web();
    let query = SeenQuery {
        source: &source,
        platform: "web",
        partitions: 1,
        below: 5,
        after_ms: i64::MAX,
    };
    let latest = state::latest_received_ms(&test.db, &query).await.unwrap();
    assert_eq!(latest, None);
    writer.page_views(&web(), range(0, 9)).await;
    let latest = state::latest_received_ms(&test.db, &query).await.unwrap();
    assert_eq!(latest, Some(page_view(4).received_at_ms));
}

#[tokio::test]
async fn the_running_maximum_is_found_in_an_earlier_month() {
    let test = TestDb::migrated().await;
    let mut writer = Writer::new(&test).await;
    writer.page_views(&web(), range(0, 0)).await;
    let mut later = page_view(1);
    later.received_at_ms += 40 * 86_400_000;
    let rows = encode(&writer.events, &web(), 1, &[later]);
    writer
        .insert(&web(), range(1, 1), Body::lz4(&rows))
        .await
        .unwrap();
    let source = web();
    let query = SeenQuery {
        source: &source,
        platform: "web",
        partitions: 1,
        below: 1,
        after_ms: 0,
    };
    let latest = state::latest_received_ms(&test.db, &query).await.unwrap();
    assert_eq!(latest, Some(page_view(0).received_at_ms));
}
