//! GeoJSON geometries as well-known binary (ISO, little endian, longitude before latitude).

use crate::json::parse::{Kind, Tape};

const DEPTH_MAX: usize = 16;
/// What ISO adds to the type number of a geometry with heights.
const Z: u32 = 1000;

/// The bytes of a geometry object.
pub(crate) fn to_wkb(tape: Tape<'_>, node: u32) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    geometry(tape, node, &mut bytes, 0).map_err(|fact| format!("is not a geometry: {fact}"))?;
    Ok(bytes)
}

fn geometry(
    tape: Tape<'_>,
    node: u32,
    bytes: &mut Vec<u8>,
    depth: usize,
) -> Result<(), &'static str> {
    if tape.node(node).kind != Kind::Object || depth > DEPTH_MAX {
        return Err("it is not an object");
    }
    let name = tape.member(node, "type").ok_or("it has no type")?;
    if &*tape.text(name) == "GeometryCollection" {
        let members = tape.member(node, "geometries").ok_or("it has no geometries")?;
        let members = list(tape, members)?;
        head(bytes, 7, false);
        count(bytes, members.len());
        return members.into_iter().try_for_each(|node| geometry(tape, node, bytes, depth + 1));
    }
    let coordinates = tape.member(node, "coordinates").ok_or("it has no coordinates")?;
    let has_height = first_position(tape, coordinates).is_some_and(|length| length > 2);
    let part = Part { tape, has_height };
    match &*tape.text(name) {
        "Point" => part.point(coordinates, bytes),
        "LineString" => part.line(coordinates, bytes),
        "Polygon" => part.polygon(coordinates, bytes),
        "MultiPoint" => part.many(coordinates, bytes, 4, Part::point),
        "MultiLineString" => part.many(coordinates, bytes, 5, Part::line),
        "MultiPolygon" => part.many(coordinates, bytes, 6, Part::polygon),
        _ => Err("its type is unknown"),
    }
}

/// Writes parts of a geometry; all its positions have as many numbers.
#[derive(Clone, Copy)]
struct Part<'a> {
    tape: Tape<'a>,
    has_height: bool,
}

impl Part<'_> {
    fn point(&self, node: u32, bytes: &mut Vec<u8>) -> Result<(), &'static str> {
        head(bytes, 1, self.has_height);
        let is_empty = list(self.tape, node)?.is_empty();
        if is_empty {
            let numbers = if self.has_height { 3 } else { 2 };
            bytes.extend(std::iter::repeat_n(f64::NAN.to_le_bytes(), numbers).flatten());
            return Ok(());
        }
        self.position(node, bytes)
    }

    fn line(&self, node: u32, bytes: &mut Vec<u8>) -> Result<(), &'static str> {
        head(bytes, 2, self.has_height);
        self.positions(node, bytes)
    }

    fn polygon(&self, node: u32, bytes: &mut Vec<u8>) -> Result<(), &'static str> {
        head(bytes, 3, self.has_height);
        let rings = list(self.tape, node)?;
        count(bytes, rings.len());
        rings.into_iter().try_for_each(|ring| self.positions(ring, bytes))
    }

    fn many(
        &self,
        node: u32,
        bytes: &mut Vec<u8>,
        number: u32,
        write: fn(&Self, u32, &mut Vec<u8>) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        head(bytes, number, self.has_height);
        let parts = list(self.tape, node)?;
        count(bytes, parts.len());
        parts.into_iter().try_for_each(|part| write(self, part, bytes))
    }

    fn positions(&self, node: u32, bytes: &mut Vec<u8>) -> Result<(), &'static str> {
        let positions = list(self.tape, node)?;
        count(bytes, positions.len());
        positions.into_iter().try_for_each(|position| self.position(position, bytes))
    }

    fn position(&self, node: u32, bytes: &mut Vec<u8>) -> Result<(), &'static str> {
        let numbers = list(self.tape, node)?;
        let wanted = if self.has_height { 3 } else { 2 };
        if numbers.len() < wanted {
            return Err("a position has too few numbers");
        }
        for number in numbers.into_iter().take(wanted) {
            let is_number = self.tape.node(number).kind == Kind::Number;
            let value = self.tape.raw(number).parse::<f64>();
            match value {
                Ok(value) if is_number => bytes.extend(value.to_le_bytes()),
                _ => return Err("a position has something else than numbers"),
            }
        }
        Ok(())
    }
}

/// How many numbers the first position has.
fn first_position(tape: Tape<'_>, node: u32) -> Option<usize> {
    let mut node = node;
    loop {
        if tape.node(node).kind != Kind::List {
            return None;
        }
        let first = tape.items(node).next()?;
        if tape.node(first).kind == Kind::Number {
            return Some(tape.items(node).count());
        }
        node = first;
    }
}

fn head(bytes: &mut Vec<u8>, number: u32, has_height: bool) {
    bytes.push(1);
    bytes.extend((number + if has_height { Z } else { 0 }).to_le_bytes());
}

fn count(bytes: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("a record has fewer than 2³² nodes");
    bytes.extend(length.to_le_bytes());
}

fn list(tape: Tape<'_>, node: u32) -> Result<Vec<u32>, &'static str> {
    if tape.node(node).kind != Kind::List {
        return Err("its coordinates are not lists");
    }
    Ok(tape.items(node).collect())
}
