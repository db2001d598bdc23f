//! Tests of encodings.

use super::*;

fn decode(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
    let mut reader = bytes;
    let mut text = Vec::new();
    encoding.decode(&mut reader).read_to_end(&mut text).unwrap();
    text
}

fn detect_in(bytes: &[u8]) -> &'static str {
    detect(&ByteSample { head: bytes.to_vec(), is_whole: true, pieces: Vec::new() }).name()
}

fn encode(label: &str, text: &str) -> Vec<u8> {
    match Encoding::named(label).unwrap() {
        Encoding::Other(other) => other.encode(text).0.into_owned(),
        _ => text.as_bytes().to_vec(),
    }
}

#[test]
fn labels_are_known_in_many_spellings() {
    for (label, name) in [
        ("UTF_8", "UTF-8"),
        ("latin-1", "windows-1252"),
        ("iso-8859-15", "ISO-8859-15"),
        ("cp1252", "windows-1252"),
        ("mac-roman", "macintosh"),
        ("Shift_JIS", "Shift_JIS"),
        ("gb2312", "gb18030"),
        ("KOI8-R", "KOI8-R"),
        ("utf-16", "UTF-16LE"),
        ("utf-32-be", "UTF-32BE"),
    ] {
        assert_eq!(Encoding::named(label).map(Encoding::name), Some(name), "{label}");
    }
    assert_eq!(Encoding::named("utf-9"), None);
}

#[test]
fn text_is_decoded_across_the_borders_of_buffers() {
    let text = "é€𝄞,\n".repeat(40_000);
    let utf32: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    assert_eq!(decode(Encoding::Utf32Le, &utf32), text.as_bytes());
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(decode(Encoding::Other(UTF_16BE), &utf16), text.as_bytes());
    let text = "東京,大阪\n".repeat(40_000);
    let bytes = encode("shift_jis", &text);
    assert_eq!(decode(Encoding::Other(encoding_rs::SHIFT_JIS), &bytes), text.as_bytes());
}

#[test]
fn what_is_no_character_is_marked_and_not_replaced() {
    let shift_jis = Encoding::Other(encoding_rs::SHIFT_JIS);
    assert_eq!(decode(shift_jis, b"a\xff\xffb"), b"a\xff\xffb");
    assert_eq!(decode(shift_jis, b"a\x93"), b"a\xff");
    assert_eq!(decode(Encoding::Utf32Le, b"a\0\0\0\0\xd8\0\0b\0"), b"a\xff\xff");
    assert_eq!(decode(Encoding::Other(UTF_16LE), b"a\0\0\xd8b\0"), b"a\xffb");
}

#[test]
fn encodings_are_told_apart() {
    let french = "id;nom\n1;Élève à Orléans, près de là\n2;Noël œuvre\n";
    assert_eq!(detect_in(french.as_bytes()), "UTF-8");
    assert_eq!(detect_in(&encode("windows-1252", french)), "windows-1252");
    assert_eq!(detect_in(&encode("macintosh", french)), "macintosh");
    assert_eq!(detect_in(&encode("windows-1251", "имя,город\nИван,Москва\n")), "windows-1251");
    assert_eq!(detect_in(&encode("koi8-r", "имя,город\nИван,Москва\n")), "KOI8-U");
    assert_eq!(detect_in(b"plain,ascii\n1,2\n"), "UTF-8");
    assert_eq!(detect_in(b"id,a\r\n1,x\0y\r\n2,z\r\n"), "UTF-8");
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    assert_eq!(detect_in(&utf16("a,b\n1,2\n")), "UTF-16LE");
    assert_eq!(detect_in(&utf16("東京,大阪\n名前,場所\n")), "UTF-16LE");
}

#[test]
fn a_piece_far_from_the_head_counts() {
    let head = b"id,name\n1,plain\n".to_vec();
    let pieces = vec![b"2,\xe9t\xe9 \xe0 Orl\xe9ans\n3,No\xebl\n".to_vec()];
    assert_eq!(
        detect(&ByteSample { head: head.clone(), is_whole: false, pieces }).name(),
        "windows-1252"
    );
    // A piece may begin and end in the middle of a character.
    let pieces = vec!["é,é".as_bytes()[1..4].to_vec()];
    assert_eq!(detect(&ByteSample { head, is_whole: false, pieces }), Encoding::Utf8);
}
