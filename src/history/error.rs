//! Why the history cannot be written or read, and which of it means that the file is damaged.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;

use super::store::SCHEMA_VERSION;

/// Why the history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A newer version has written it.
    #[error("{}: it has schema {found}, this version knows {SCHEMA_VERSION}; use the newer version, or move the file away", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// Another file lies where it was, or none: the state directory was moved or restored. It is not touched.
    #[error("{}: this is no longer the file that the history writes to", path.display())]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// SQLite.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The question.
    #[error("{0}")]
    Question(String),
}

impl HistoryError {
    /// Whether the disk has no room for it.
    pub(super) fn is_no_room(&self) -> bool {
        match self {
            HistoryError::Io { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            HistoryError::Sqlite { source, .. } => source.sqlite_error_code() == Some(ErrorCode::DiskFull),
            _ => false,
        }
    }

    /// Whether what is in the file is no database, or a broken one: nothing can be written to it any more.
    pub(super) fn is_damage(&self) -> bool {
        let HistoryError::Sqlite { source, .. } = self else { return false };
        match source {
            rusqlite::Error::SqliteFailure(error, _) => {
                // An error of the statement itself: what it names is not there, so the tables are not ours.
                let is_of_statement = error.code == ErrorCode::Unknown && error.extended_code == 1;
                is_of_statement
                    || matches!(
                        error.code,
                        ErrorCode::DatabaseCorrupt
                            | ErrorCode::NotADatabase
                            | ErrorCode::TypeMismatch
                            | ErrorCode::ConstraintViolation
                    )
            }
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::SqlInputError { .. } => true,
            _ => false,
        }
    }
}
