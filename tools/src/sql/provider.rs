//! A table of a recording as DataFusion sees it: its columns while a query is planned, its files
//! once it runs.

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use dejavm_trace::export::{Column, ColumnType, Table};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// In the metadata of a field: it is read in hexadecimal.
pub const HEX: &str = "hex";

/// A table.
#[derive(Debug)]
pub struct RecordedTable {
    /// Which.
    pub table: Table,
    schema: SchemaRef,
    /// Its files, in the order of the run, once they are known.
    pub files: OnceLock<Vec<PathBuf>>,
}

impl RecordedTable {
    /// Without files yet.
    pub fn new(table: Table) -> Self {
        let fields: Vec<Field> = table.schema().columns.iter().map(field).collect();
        Self { table, schema: Arc::new(Schema::new(fields)), files: OnceLock::new() }
    }
}

fn field(column: &Column) -> Field {
    let kind = match column.kind {
        ColumnType::Bool => DataType::Boolean,
        ColumnType::U8 => DataType::UInt8,
        ColumnType::U16 => DataType::UInt16,
        ColumnType::U32 => DataType::UInt32,
        ColumnType::U64 => DataType::UInt64,
        ColumnType::I64 => DataType::Int64,
        ColumnType::Text => DataType::Utf8View,
    };
    let field = Field::new(&column.name, kind, column.nullable);
    if column.hex { field.with_metadata(HashMap::from([(HEX.into(), "1".into())])) } else { field }
}

#[async_trait::async_trait]
impl TableProvider for RecordedTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Files and row groups are passed over by what they cannot hold; rows are filtered above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut files = Vec::new();
        for path in self.files.get().into_iter().flatten() {
            let cannot = |e: std::io::Error| DataFusionError::Execution(format!("{}: {e}", path.display()));
            let path = path.canonicalize().map_err(cannot)?;
            let size = path.metadata().map_err(cannot)?.len();
            files.push(PartitionedFile::new(path.to_string_lossy(), size));
        }
        let source = Arc::new(ParquetSource::new(self.schema.clone()));
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_group(FileGroup::from(files))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
