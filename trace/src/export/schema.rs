//! What columns a table has, and what they are in Parquet.

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::schema::types::{ColumnPath, SchemaDescriptor, Type, TypePtr};
use std::sync::Arc;

/// The level of compression: more of it costs more time than it saves space.
const ZSTD_LEVEL: i32 = 1;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// True or false.
    Bool,
    /// An unsigned number of 8 bits.
    U8,
    /// An unsigned number of 16 bits.
    U16,
    /// An unsigned number of 32 bits.
    U32,
    /// An unsigned number of 64 bits.
    U64,
    /// A signed number of 64 bits.
    I64,
    /// UTF-8.
    Text,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// What it is called.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether a row may have nothing there.
    pub nullable: bool,
    /// Whether it is best read in hexadecimal: an address, a register, a value of memory.
    pub hex: bool,
}

impl Column {
    /// One that always has a value.
    pub fn new(name: &str, kind: ColumnType) -> Self {
        Self { name: name.to_owned(), kind, nullable: false, hex: false }
    }

    /// The same, where rows may have nothing there.
    #[must_use]
    pub fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// The same, to be shown in hexadecimal.
    #[must_use]
    pub fn hex(self) -> Self {
        Self { hex: true, ..self }
    }

    fn parquet(&self) -> Result<TypePtr, ParquetError> {
        let unsigned = |bit_width| Some(LogicalType::integer(bit_width, false));
        let (physical, logical) = match self.kind {
            ColumnType::Bool => (Physical::BOOLEAN, None),
            ColumnType::U8 => (Physical::INT32, unsigned(8)),
            ColumnType::U16 => (Physical::INT32, unsigned(16)),
            ColumnType::U32 => (Physical::INT32, unsigned(32)),
            ColumnType::U64 => (Physical::INT64, unsigned(64)),
            ColumnType::I64 => (Physical::INT64, None),
            ColumnType::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let repetition = if self.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let column = Type::primitive_type_builder(&self.name, physical).with_repetition(repetition);
        Ok(Arc::new(column.with_logical_type(logical).build()?))
    }
}

/// The columns of a table, in order.
#[derive(Clone, Debug)]
pub struct Schema {
    /// They.
    pub columns: Vec<Column>,
    pub(super) root: TypePtr,
    pub(super) descriptor: Arc<SchemaDescriptor>,
    pub(super) properties: WriterPropertiesPtr,
}

impl Schema {
    /// # Panics
    /// If two columns have one name: schemas are ours.
    pub fn new(name: &str, columns: Vec<Column>) -> Self {
        let fields = columns.iter().map(Column::parquet).collect::<Result<Vec<_>, _>>();
        let root = fields.and_then(|fields| Type::group_type_builder(name).with_fields(fields).build());
        let root: TypePtr = Arc::new(root.expect("the schema of a table"));
        let descriptor = Arc::new(SchemaDescriptor::new(root.clone()));
        Self { columns, root, descriptor, properties: Arc::new(properties()) }
    }

    /// Where the column of a name is.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// How files are written. Nothing of the host is in them.
fn properties() -> WriterProperties {
    // A level that there is.
    let level = ZstdLevel::try_new(ZSTD_LEVEL).unwrap_or_default();
    let mut builder = WriterProperties::builder()
        .set_created_by("dejavm".to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(None);
    // They grow row by row, by little.
    for growing in ["icount", "time_ns"] {
        let path = ColumnPath::from(growing);
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    builder.build()
}
