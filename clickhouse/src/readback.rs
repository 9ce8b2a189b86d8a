//! Reading a batch's accepted rows back, in the bytes an insert takes.
//!
//! What the table holds of an open batch is the decision about it. So these rows can be sent again as they stand, with
//! the batch's token: views that a crash left out are filled, everything else stays.
//!
//! JSON columns are read in ClickHouse's binary encoding. As text they would not come back as they are: `1e20` is
//! written `100000000000000000000`, which the JSON type then refuses.

use blake3::{Hash, Hasher};

use crate::columns::{Column, Layout};
use crate::compress::Body;
use crate::db::{self, Db};
use crate::error::Error;
use crate::position::{of, offset};
use crate::rows::EventEncoder;
use crate::source::{OffsetRange, SourcePartition};

/// Which accepted rows there are. Two of the same rows are equal, whether they were read or are yet to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSet {
    /// Offsets of the rows, ascending; an offset that is there twice comes twice.
    pub offsets: Vec<i64>,
    /// Hash of the rows in the order of their offsets. JSON columns do not count: ClickHouse spells them anew.
    pub hash: Hash,
}

/// Returns which rows of a range `events` holds.
///
/// # Errors
///
/// Those of a read.
pub async fn events(
    db: &Db,
    encoder: &EventEncoder,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<RowSet, Error> {
    let columns: Vec<_> = encoder
        .columns()
        .iter()
        .filter(|column| is_comparable(column))
        .cloned()
        .collect();
    let rows = select(db, &list(&columns), source, range).await?;
    row_set(&columns, &rows)
}

/// Returns which rows a body for `events` holds, encoded but not compressed.
///
/// # Errors
///
/// [`Error::Answer`] when it is not made of rows of this encoder.
pub fn encoded(encoder: &EventEncoder, rows: &[u8]) -> Result<RowSet, Error> {
    row_set(encoder.columns(), rows)
}

/// Reads the rows of a range from `events` as a body to send again, ordered by offset. It takes the encoder's column
/// list.
///
/// # Errors
///
/// Those of a read.
pub async fn body(
    db: &Db,
    encoder: &EventEncoder,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<Body, Error> {
    let rows = select(db, &encoder.column_list(), source, range).await?;
    Ok(Body::lz4(&rows).with_binary_json())
}

async fn select(
    db: &Db,
    columns: &str,
    source: &SourcePartition,
    range: OffsetRange,
) -> Result<Vec<u8>, Error> {
    let sql = format!(
        "SELECT {columns} FROM events WHERE {{SOURCE}} \
         AND offset BETWEEN {{first:UInt64}} AND {{last:UInt64}} ORDER BY offset"
    );
    let query = of(db, &sql, source)
        .param("first", range.first)
        .param("last", range.last)
        .with_setting("output_format_binary_write_json_as_string", "0");
    let rows = db::within(db::LOOKUP_TIMEOUT, async {
        query.fetch_bytes("RowBinary")?.collect().await
    });
    Ok(rows.await?.into())
}

fn list(columns: &[Column]) -> String {
    let names: Vec<_> = columns
        .iter()
        .map(|column| format!("`{}`", column.name))
        .collect();
    names.join(", ")
}

fn is_comparable(column: &Column) -> bool {
    !column.data_type.starts_with("JSON")
}

fn row_set(columns: &[Column], mut rows: &[u8]) -> Result<RowSet, Error> {
    let splitter = Splitter::new(columns)?;
    let mut found = Vec::new();
    while !rows.is_empty() {
        found.push(splitter.next(&mut rows)?);
    }
    found.sort_unstable();
    let mut hasher = Hasher::new();
    for (_, values) in &found {
        for value in values {
            hasher.update(value);
        }
    }
    Ok(RowSet {
        offsets: found.into_iter().map(|(offset, _)| offset).collect(),
        hash: hasher.finalize(),
    })
}

/// How to find the values in a row.
struct Splitter {
    /// Layout of each column, and whether its values can be compared.
    columns: Vec<(Layout, bool)>,
    offset: usize,
}

impl Splitter {
    fn new(columns: &[Column]) -> Result<Self, Error> {
        let layout = |column: &Column| {
            Layout::of(&column.data_type)
                .map(|layout| (layout, is_comparable(column)))
                .ok_or_else(|| {
                    Error::Answer(format!(
                        "values of type {} cannot be told apart",
                        column.data_type
                    ))
                })
        };
        Ok(Self {
            offset: columns
                .iter()
                .position(|column| column.name == "offset")
                .ok_or_else(|| Error::Answer("the rows have no offset".into()))?,
            columns: columns.iter().map(layout).collect::<Result<_, _>>()?,
        })
    }

    /// Takes a row off the front of `rows`: its offset and its comparable values.
    fn next<'a>(&self, rows: &mut &'a [u8]) -> Result<(i64, Vec<&'a [u8]>), Error> {
        let cut = || Error::Answer("the rows are cut short".into());
        let mut values = Vec::with_capacity(self.columns.len());
        let mut at = 0;
        for (position, (layout, comparable)) in self.columns.iter().enumerate() {
            let before = *rows;
            layout.skip(rows).ok_or_else(cut)?;
            let value = &before[..before.len() - rows.len()];
            if position == self.offset {
                at = u64::from_le_bytes(value.try_into().map_err(|_| cut())?);
            }
            if *comparable {
                values.push(value);
            }
        }
        Ok((offset(at)?, values))
    }
}
