//! The C interface of `libchdb.so`, loaded at run time: the only place with `unsafe` code.
//!
//! It wraps the handles so that they are freed exactly once and in the right order, and turns errors into strings. It knows nothing
//! about SQL or HTTP.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;

use libloading::Library;

type Connection = *mut c_void;
type ResultHandle = *mut c_void;
type InsertHandle = *mut c_void;

type QueryFn = unsafe extern "C" fn(
    Connection,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *const *const c_char,
    *const usize,
    *const *const c_char,
    *const usize,
    usize,
) -> *mut c_void;
type Counter = unsafe extern "C" fn(ResultHandle) -> u64;

/// The functions of the library that are used here.
pub(crate) struct Api {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Connection,
    close: unsafe extern "C" fn(*mut Connection),
    query: QueryFn,
    stream: QueryFn,
    fetch: unsafe extern "C" fn(Connection, ResultHandle) -> ResultHandle,
    cancel: unsafe extern "C" fn(Connection, ResultHandle),
    destroy: unsafe extern "C" fn(ResultHandle),
    error: unsafe extern "C" fn(ResultHandle) -> *const c_char,
    buffer: unsafe extern "C" fn(ResultHandle) -> *const u8,
    length: unsafe extern "C" fn(ResultHandle) -> usize,
    rows: Counter,
    bytes: Counter,
    storage_rows: Counter,
    storage_bytes: Counter,
    written_rows: Counter,
    written_bytes: Counter,
    insert: QueryFn,
    append: unsafe extern "C" fn(InsertHandle, *const c_void, usize) -> c_int,
    done: unsafe extern "C" fn(InsertHandle) -> ResultHandle,
    cancel_insert: unsafe extern "C" fn(InsertHandle),
    insert_error: unsafe extern "C" fn(InsertHandle) -> *const c_char,
    destroy_insert: unsafe extern "C" fn(InsertHandle),
}

/// Why the library cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It is missing, or misses a function.
    #[error("cannot load the ClickHouse engine from {path}")]
    Library {
        /// The file that was tried.
        path: String,
        /// What the loader says.
        source: libloading::Error,
    },
}

impl Api {
    /// Loads the library for the rest of the process's life, with its own signal handlers switched off.
    pub(crate) fn load(path: &Path) -> Result<&'static Self, LoadError> {
        // SAFETY: the library's initialisers run here; that is what a user who names the engine's file asks for.
        unsafe { Self::load_unchecked(path) }.map_err(|source| LoadError::Library {
            path: path.display().to_string(),
            source,
        })
    }

    /// # Safety
    /// `path` must be a libchdb whose functions have the types declared above.
    unsafe fn load_unchecked(path: &Path) -> Result<&'static Self, libloading::Error> {
        // SAFETY: see the function's own contract. The types follow chdb.h of the pinned version. The library is never unloaded,
        // so the copied function pointers stay valid.
        unsafe {
            let library = Box::leak(Box::new(Library::new(path)?));
            let handlers: unsafe extern "C" fn(c_int) =
                *library.get(c"chdb_set_signal_handlers_enabled")?;
            handlers(0);
            Ok(Box::leak(Box::new(Self {
                connect: *library.get(c"chdb_connect")?,
                close: *library.get(c"chdb_close_conn")?,
                query: *library.get(c"chdb_query_with_params_n")?,
                stream: *library.get(c"chdb_stream_query_with_params_n")?,
                fetch: *library.get(c"chdb_stream_fetch_result")?,
                cancel: *library.get(c"chdb_stream_cancel_query")?,
                destroy: *library.get(c"chdb_destroy_query_result")?,
                error: *library.get(c"chdb_result_error")?,
                buffer: *library.get(c"chdb_result_buffer")?,
                length: *library.get(c"chdb_result_length")?,
                rows: *library.get(c"chdb_result_rows_read")?,
                bytes: *library.get(c"chdb_result_bytes_read")?,
                storage_rows: *library.get(c"chdb_result_storage_rows_read")?,
                storage_bytes: *library.get(c"chdb_result_storage_bytes_read")?,
                written_rows: *library.get(c"chdb_result_rows_written")?,
                written_bytes: *library.get(c"chdb_result_bytes_written")?,
                insert: *library.get(c"chdb_stream_insert_with_params_n")?,
                append: *library.get(c"chdb_stream_append")?,
                done: *library.get(c"chdb_stream_done")?,
                cancel_insert: *library.get(c"chdb_stream_cancel_insert")?,
                insert_error: *library.get(c"chdb_stream_insert_error")?,
                destroy_insert: *library.get(c"chdb_destroy_insert_stream")?,
            })))
        }
    }

    /// Opens a connection. `None` when the engine refuses: it gives no reason.
    pub(crate) fn connect(&'static self, arguments: &[CString]) -> Option<Session> {
        let mut pointers: Vec<*mut c_char> = arguments
            .iter()
            .map(|argument| argument.as_ptr().cast_mut())
            .collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `count` NUL-terminated strings that outlive the call; the engine copies them and does not write to them.
        let connection = unsafe { (self.connect)(count, pointers.as_mut_ptr()) };
        NonNull::new(connection).map(|connection| Session {
            api: self,
            connection,
        })
    }
}

/// A statement with everything that belongs to it.
#[derive(Clone, Copy)]
pub(crate) struct Statement<'a> {
    /// The SQL text.
    pub(crate) sql: &'a [u8],
    /// The output format unless the text names one; for an insert, the input format.
    pub(crate) format: &'a str,
    /// Values for `{name:Type}` placeholders.
    pub(crate) parameters: &'a [(String, Vec<u8>)],
}

/// What the engine counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Rows of the result.
    pub(crate) result_rows: u64,
    /// Bytes of the result, uncompressed, in memory.
    pub(crate) result_bytes: u64,
    /// Rows read from tables.
    pub(crate) read_rows: u64,
    /// Bytes read from tables.
    pub(crate) read_bytes: u64,
    /// Rows written, those of materialized views included.
    pub(crate) written_rows: u64,
    /// Bytes written, those of materialized views included.
    pub(crate) written_bytes: u64,
}

impl Counts {
    /// Adds another part's counts.
    pub(crate) fn add(&mut self, other: Self) {
        self.result_rows += other.result_rows;
        self.result_bytes += other.result_bytes;
        self.read_rows += other.read_rows;
        self.read_bytes += other.read_bytes;
        self.written_rows += other.written_rows;
        self.written_bytes += other.written_bytes;
    }
}

/// One connection of the engine: a session with settings, a current database and temporary tables. Closed when dropped.
pub(crate) struct Session {
    api: &'static Api,
    connection: NonNull<Connection>,
}

// SAFETY: the engine serialises the calls on a connection by a mutex of its own and attaches its thread state in every call, so a
// connection may move between threads. It is not `Sync`: one statement at a time.
unsafe impl Send for Session {}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `connect` and is closed once. Results and streams borrow the session or own their data.
        unsafe { (self.api.close)(self.connection.as_ptr()) }
    }
}

impl Session {
    fn handle(&self) -> Connection {
        // SAFETY: the engine keeps the handle at this address until the connection is closed.
        unsafe { *self.connection.as_ptr() }
    }

    fn call(&mut self, function: QueryFn, statement: Statement<'_>) -> *mut c_void {
        let names: Vec<*const c_char> = statement
            .parameters
            .iter()
            .map(|(name, _)| name.as_ptr().cast())
            .collect();
        let name_lengths: Vec<usize> = statement.parameters.iter().map(|p| p.0.len()).collect();
        let values: Vec<*const c_char> = statement
            .parameters
            .iter()
            .map(|(_, value)| value.as_ptr().cast())
            .collect();
        let value_lengths: Vec<usize> = statement.parameters.iter().map(|p| p.1.len()).collect();
        // SAFETY: every pointer comes with its length and outlives the call; the engine copies what it keeps.
        unsafe {
            function(
                self.handle(),
                statement.sql.as_ptr().cast(),
                statement.sql.len(),
                statement.format.as_ptr().cast(),
                statement.format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                statement.parameters.len(),
            )
        }
    }

    /// Runs a statement and returns its whole output.
    ///
    /// # Errors
    /// The engine's message.
    pub(crate) fn query(&mut self, statement: Statement<'_>) -> Result<Output, String> {
        let handle = self.call(self.api.query, statement);
        Output::new(self.api, handle)
    }

    /// Starts a SELECT whose output comes block by block.
    ///
    /// # Errors
    /// The engine's message; other statements than SELECT are refused without being run.
    pub(crate) fn stream(&mut self, statement: Statement<'_>) -> Result<Rows<'_>, String> {
        let handle = self.call(self.api.stream, statement);
        match message(self.api, handle) {
            Some(error) => {
                // SAFETY: a result handle of this library, freed once.
                unsafe { (self.api.destroy)(handle) };
                Err(error)
            }
            None => Ok(Rows {
                session: self,
                handle,
                finished: false,
            }),
        }
    }

    /// Starts an insert whose data follow. `statement.sql` ends before FORMAT or VALUES.
    ///
    /// # Errors
    /// The engine's message.
    pub(crate) fn insert(&mut self, statement: Statement<'_>) -> Result<Insert<'_>, String> {
        let handle = self.call(self.api.insert, statement);
        let insert = Insert {
            session: self,
            handle,
            finished: false,
        };
        match insert.error() {
            Some(error) => Err(error),
            None => Ok(insert),
        }
    }
}

fn message(api: &Api, handle: ResultHandle) -> Option<String> {
    // SAFETY: a live result handle; the text is owned by it and copied before it goes.
    unsafe { text((api.error)(handle)) }
}

/// # Safety
/// `pointer` is null or a NUL-terminated string that lives through the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: see the function's contract.
    Some(
        unsafe { CStr::from_ptr(pointer) }
            .to_string_lossy()
            .into_owned(),
    )
}

/// A piece of output, or all of it.
pub(crate) struct Output {
    api: &'static Api,
    handle: ResultHandle,
}

impl Output {
    fn new(api: &'static Api, handle: ResultHandle) -> Result<Self, String> {
        let output = Self { api, handle };
        match message(api, handle) {
            Some(error) => Err(error),
            None => Ok(output),
        }
    }

    /// Returns the formatted rows.
    pub(crate) fn data(&self) -> &[u8] {
        // SAFETY: a live result handle; buffer and length belong together and stay until it is destroyed.
        unsafe {
            let pointer = (self.api.buffer)(self.handle);
            if pointer.is_null() {
                return &[];
            }
            std::slice::from_raw_parts(pointer, (self.api.length)(self.handle))
        }
    }

    /// Returns what the engine counted for this piece.
    pub(crate) fn counts(&self) -> Counts {
        // SAFETY: a live result handle.
        unsafe {
            Counts {
                result_rows: (self.api.rows)(self.handle),
                result_bytes: (self.api.bytes)(self.handle),
                read_rows: (self.api.storage_rows)(self.handle),
                read_bytes: (self.api.storage_bytes)(self.handle),
                written_rows: (self.api.written_rows)(self.handle),
                written_bytes: (self.api.written_bytes)(self.handle),
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: a result handle of this library, freed once.
        unsafe { (self.api.destroy)(self.handle) }
    }
}

/// The output of a running SELECT. Dropping it cancels what is left.
pub(crate) struct Rows<'s> {
    session: &'s mut Session,
    handle: ResultHandle,
    finished: bool,
}

impl Rows<'_> {
    /// Waits for the next piece; `None` at the end.
    ///
    /// # Errors
    /// The engine's message; the query is over then.
    pub(crate) fn next(&mut self) -> Result<Option<Output>, String> {
        if self.finished {
            return Ok(None);
        }
        // SAFETY: connection and stream are live, and `&mut self` keeps other calls on them away.
        let handle = unsafe { (self.session.api.fetch)(self.session.handle(), self.handle) };
        let output = Output::new(self.session.api, handle);
        match output {
            Ok(output) if !output.data().is_empty() => Ok(Some(output)),
            Ok(_) => {
                self.finished = true;
                Ok(None)
            }
            Err(error) => {
                self.finished = true;
                Err(error)
            }
        }
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        // SAFETY: connection and stream are live; cancelling comes before destroying, which happens once.
        unsafe {
            if !self.finished {
                (self.session.api.cancel)(self.session.handle(), self.handle);
            }
            (self.session.api.destroy)(self.handle);
        }
    }
}

/// An open insert. Dropping it before [`Insert::finish`] throws the rows away.
pub(crate) struct Insert<'s> {
    session: &'s mut Session,
    handle: InsertHandle,
    finished: bool,
}

impl Insert<'_> {
    fn error(&self) -> Option<String> {
        // SAFETY: a live insert handle; the text is copied at once.
        unsafe { text((self.session.api.insert_error)(self.handle)) }
    }

    /// Hands over a piece of the body. Blocks while the engine is behind. Returns false when the engine takes no more, because
    /// the insert failed or the format has an end of its own: [`Insert::finish`] tells which.
    pub(crate) fn append(&mut self, data: &[u8]) -> bool {
        // SAFETY: a live insert handle; the engine copies the bytes.
        data.is_empty()
            || unsafe { (self.session.api.append)(self.handle, data.as_ptr().cast(), data.len()) }
                == 0
    }

    /// Ends the body and waits until the rows are stored.
    ///
    /// # Errors
    /// The engine's message. Nothing is stored then, unless the client asked for small blocks.
    pub(crate) fn finish(mut self) -> Result<Counts, String> {
        self.finished = true;
        // SAFETY: a live insert handle; `done` is called once on it.
        let handle = unsafe { (self.session.api.done)(self.handle) };
        if handle.is_null() {
            return Err("Error: the engine gave no result for an insert".to_owned());
        }
        Output::new(self.session.api, handle).map(|output| output.counts())
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: a live insert handle; cancelling comes before destroying, which happens once.
        unsafe {
            if !self.finished {
                (self.session.api.cancel_insert)(self.handle);
            }
            (self.session.api.destroy_insert)(self.handle);
        }
    }
}
