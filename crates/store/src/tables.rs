//! Tables as data: what a migration says about a table, and the statements that make it.

use sea_orm::sea_query::{
    Alias, ColumnDef, ForeignKey, ForeignKeyAction, Index, IndexCreateStatement, Table as Query,
    TableCreateStatement,
};

/// A table of a migration.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// The columns of the primary key.
    pub(crate) key: &'static [&'static str],
    /// Further sets of columns that no two rows share.
    pub(crate) unique: &'static [&'static [&'static str]],
    /// What rows are looked up by.
    pub(crate) indexes: &'static [&'static [&'static str]],
    /// Columns that hold the id of a row of another table, and go away with it.
    pub(crate) parents: &'static [(&'static str, &'static str)],
}

/// A column of a migration.
#[derive(Debug)]
pub(crate) struct Column {
    name: &'static str,
    kind: Kind,
    is_nullable: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Boolean,
    Bytes,
}

impl Column {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What it holds.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The same column, in which values may be missing.
    pub(crate) const fn or_null(self) -> Self {
        Self { is_nullable: true, ..self }
    }
}

/// Texts: names, ids, enumerations, JSON.
pub(crate) const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, is_nullable: false }
}

/// Numbers of 64 bits: counts, and instants in µs.
pub(crate) const fn integer(name: &'static str) -> Column {
    Column { name, kind: Kind::Integer, is_nullable: false }
}

/// True or false.
pub(crate) const fn boolean(name: &'static str) -> Column {
    Column { name, kind: Kind::Boolean, is_nullable: false }
}

/// Bytes that only another part of the program understands.
pub(crate) const fn bytes(name: &'static str) -> Column {
    Column { name, kind: Kind::Bytes, is_nullable: false }
}

impl Table {
    /// The statement that makes the table.
    pub(crate) fn create(&self) -> TableCreateStatement {
        let mut statement = Query::create();
        statement.table(Alias::new(self.name));
        for column in self.columns {
            statement.col(column.definition());
        }
        let mut key = Index::create();
        for column in self.key {
            key.col(Alias::new(*column));
        }
        statement.primary_key(&mut key);
        for (column, parent) in self.parents {
            statement.foreign_key(
                ForeignKey::create()
                    .from(Alias::new(self.name), Alias::new(*column))
                    .to(Alias::new(*parent), Alias::new("id"))
                    .on_delete(ForeignKeyAction::Cascade),
            );
        }
        statement
    }

    /// The statements that make its indexes.
    pub(crate) fn create_indexes(&self) -> Vec<IndexCreateStatement> {
        let unique = self.unique.iter().map(|columns| self.index(columns).unique().to_owned());
        let plain = self.indexes.iter().map(|columns| self.index(columns));
        unique.chain(plain).collect()
    }

    fn index(&self, columns: &[&'static str]) -> IndexCreateStatement {
        let mut index = Index::create();
        index.name(format!("{}_by_{}", self.name, columns.join("_"))).table(Alias::new(self.name));
        for column in columns {
            index.col(Alias::new(*column));
        }
        index
    }
}

impl Column {
    fn definition(&self) -> ColumnDef {
        let mut definition = ColumnDef::new(Alias::new(self.name));
        match self.kind {
            Kind::Text => definition.text(),
            Kind::Integer => definition.big_integer(),
            Kind::Boolean => definition.boolean(),
            Kind::Bytes => definition.blob(),
        };
        if !self.is_nullable {
            definition.not_null();
        }
        definition
    }
}
