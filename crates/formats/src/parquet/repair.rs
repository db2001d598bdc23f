//! Footers that known writers have written wrong, put right before anything is read by them.

use super::footer;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::Result;
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataBuilder,
    ParquetMetaDataReader, RowGroupMetaData,
};
use std::fs::File;
use std::sync::Arc;

/// `parquet-mr` left the header of dictionaries out of the size of a column before this version.
const SIZES_RIGHT_SINCE: [u32; 3] = [1, 2, 9];

/// The metadata of a file.
pub(super) fn load(file: &mut File) -> Result<ArrowReaderMetadata> {
    let loaded = match ArrowReaderMetadata::load(&*file, ArrowReaderOptions::new()) {
        Ok(loaded) => loaded,
        Err(error) => {
            let footer = footer::known_fields(file);
            let decoded = footer.map(|footer| ParquetMetaDataReader::decode_metadata(&footer));
            let Some(Ok(decoded)) = decoded else { return Err(error) };
            ArrowReaderMetadata::try_new(Arc::new(decoded), ArrowReaderOptions::new())?
        }
    };
    let about = loaded.metadata().file_metadata();
    let lacks_rows = about.num_rows() == 0 && rows(loaded.metadata()) != 0;
    let has_short_sizes = about.created_by().is_some_and(writes_short_sizes);
    let has_no_place = |column: &ColumnChunkMetaData| column.dictionary_page_offset() == Some(0);
    let groups = loaded.metadata().row_groups();
    let has_no_places = groups.iter().any(|group| group.columns().iter().any(has_no_place));
    if !lacks_rows && !has_short_sizes && !has_no_places {
        return Ok(loaded);
    }
    let mut corrected = loaded.metadata().as_ref().clone();
    if lacks_rows {
        corrected = with_rows(corrected);
    }
    if has_no_places {
        // No dictionary can lie where the file begins: it has none.
        corrected = with_columns(corrected, |column| match column.dictionary_page_offset() {
            Some(0) => column.clone().into_builder().set_dictionary_page_offset(None).build(),
            _ => Ok(column.clone()),
        })?;
    }
    if has_short_sizes {
        corrected = with_columns(corrected, |column| with_whole_size(column, file))?;
    }
    ArrowReaderMetadata::try_new(Arc::new(corrected), ArrowReaderOptions::new())
}

fn rows(metadata: &ParquetMetaData) -> i64 {
    metadata.row_groups().iter().fold(0, |rows, group| rows.saturating_add(group.num_rows()))
}

/// The first versions of the Rust writer gave a file no rows, only its row groups.
fn with_rows(metadata: ParquetMetaData) -> ParquetMetaData {
    let about = metadata.file_metadata();
    let corrected = FileMetaData::new(
        about.version(),
        rows(&metadata),
        about.created_by().map(str::to_owned),
        about.key_value_metadata().cloned(),
        about.schema_descr_ptr(),
        about.column_orders().cloned(),
    );
    let groups = metadata.row_groups().to_vec();
    ParquetMetaDataBuilder::new(corrected).set_row_groups(groups).build()
}

fn writes_short_sizes(created_by: &str) -> bool {
    let Some(rest) = created_by.strip_prefix("parquet-mr") else { return false };
    let version = rest.trim_start().strip_prefix("version ").unwrap_or_default();
    let numbers = version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    let numbers: Vec<u32> = numbers.map_while(|number| number).take(3).collect();
    numbers.as_slice() < SIZES_RIGHT_SINCE.as_slice()
}

fn with_columns(
    metadata: ParquetMetaData,
    mut change: impl FnMut(&ColumnChunkMetaData) -> Result<ColumnChunkMetaData>,
) -> Result<ParquetMetaData> {
    let mut builder = metadata.into_builder();
    let groups = builder.take_row_groups();
    let groups: Result<Vec<RowGroupMetaData>> = groups
        .into_iter()
        .map(|group| {
            let columns = group.columns().iter().map(&mut change).collect::<Result<Vec<_>>>()?;
            group.into_builder().set_column_metadata(columns).build()
        })
        .collect();
    Ok(builder.set_row_groups(groups?).build())
}

/// Adds the header of the dictionary, which the size lacks.
fn with_whole_size(column: &ColumnChunkMetaData, file: &mut File) -> Result<ColumnChunkMetaData> {
    let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
    let header = u64::try_from(start).ok().and_then(|at| footer::dictionary_header_bytes(file, at));
    let Some(header) = header.and_then(|bytes| i64::try_from(bytes).ok()) else {
        return Ok(column.clone());
    };
    let size = column.compressed_size().saturating_add(header);
    column.clone().into_builder().set_total_compressed_size(size).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writers_that_leave_the_header_out_are_known() {
        for created_by in
            ["parquet-mr", "parquet-mr version 1.2.8 (build x)", "parquet-mr version 1.2"]
        {
            assert!(writes_short_sizes(created_by), "{created_by}");
        }
        for created_by in
            ["parquet-mr version 1.2.9", "parquet-mr version 1.13.0-SNAPSHOT", "parquet-cpp", ""]
        {
            assert!(!writes_short_sizes(created_by), "{created_by}");
        }
    }
}
