//! Every line of a checkpoint, right and wrong.

use super::*;

const ROOT: &str = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn read(text: &str) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::parse(NoteText::parse(text)?)
}

#[test]
fn the_example_of_the_specification_is_read_and_written() {
    let text = format!("example.com/behind-the-sofa\n20852163\n{ROOT}\n");
    let checkpoint = read(&text).unwrap();
    let head = TreeHead { size: 20_852_163, root: Hash::parse_base64(ROOT).unwrap() };
    assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
    assert_eq!((checkpoint.head(), checkpoint.extensions().len()), (head, 0));
    assert_eq!(checkpoint.text().as_str(), text);
    assert_eq!(Checkpoint::new("example.com/behind-the-sofa", head, &[]), Ok(checkpoint));
}

#[test]
fn every_line_is_held_to_the_specification() {
    use CheckpointError::{EmptyRoot, Lines, Note, Root, Size};
    let (r, e) = (ROOT, EMPTY);
    let control = |code| Err(Note(NoteError::Control { code }));
    for (text, expected) in [
        (format!("o\n1\n{r}\n"), Ok(1)),
        (format!("o\n18446744073709551615\n{r}\n"), Ok(u64::MAX)),
        (format!("o\n0\n{e}\n"), Ok(0)),
        // An origin should have no spaces and no plus, but may.
        (format!("Go sum database tree+1 \n1\n{r}\n"), Ok(1)),
        (format!("o\n1\n{r}\nextension\n another \n"), Ok(1)),
        (String::new(), Err(Note(NoteError::TextEnd))),
        ("\n".to_owned(), Err(Lines)),
        ("o\n".to_owned(), Err(Lines)),
        ("o\n1\n".to_owned(), Err(Lines)),
        (format!("o\n1\n{r}"), Err(Note(NoteError::TextEnd))),
        (format!("\n1\n{r}\n"), Err(Lines)),
        (format!("o\n\n1\n{r}\n"), Err(Lines)),
        (format!("o\n\n{r}\n"), Err(Lines)),
        (format!("o\n1\n{r}\n\n"), Err(Lines)),
        (format!("o\n1\n{r}\n\nextension\n"), Err(Lines)),
        (format!("o\n1\n{r}\nextension\n\n"), Err(Lines)),
        (format!("o\n01\n{r}\n"), Err(Size)),
        (format!("o\n00\n{e}\n"), Err(Size)),
        (format!("o\n+1\n{r}\n"), Err(Size)),
        (format!("o\n-1\n{r}\n"), Err(Size)),
        (format!("o\n 1\n{r}\n"), Err(Size)),
        (format!("o\n1 \n{r}\n"), Err(Size)),
        (format!("o\n1.0\n{r}\n"), Err(Size)),
        (format!("o\n1e3\n{r}\n"), Err(Size)),
        (format!("o\n0x1\n{r}\n"), Err(Size)),
        (format!("o\n\u{ff11}\n{r}\n"), Err(Size)),
        (format!("o\n18446744073709551616\n{r}\n"), Err(Size)),
        (format!("o\n1\r\n{r}\n"), control(13)),
        (format!("o\n1\t\n{r}\n"), control(9)),
        ("o\n1\nabc\n".to_owned(), Err(Root)),
        (format!("o\n1\n{r} \n"), Err(Root)),
        (format!("o\n1\n{}\n", r.trim_end_matches('=')), Err(Root)),
        (format!("o\n1\n{r}{r}\n"), Err(Root)),
        ("o\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n".to_owned(), Err(Root)),
        ("o\n1\nAAAA\n".to_owned(), Err(Root)),
        (format!("o\n0\n{r}\n"), Err(EmptyRoot)),
    ] {
        let found = read(&text);
        assert_eq!(found.clone().map(|read| read.head().size), expected, "{text:?}");
        if let Ok(checkpoint) = found {
            assert_eq!(checkpoint.text().as_str(), text);
        }
    }
}

#[test]
fn no_checkpoint_is_made_that_would_not_be_read() {
    let head = TreeHead { size: 1, root: Hash::parse_base64(ROOT).unwrap() };
    let made = Checkpoint::new("example.com/log", head, &["first", "second"]).unwrap();
    assert_eq!(made.extensions(), ["first", "second"]);
    assert_eq!(read(made.text().as_str()), Ok(made));
    let control = CheckpointError::Note(NoteError::Control { code: 0 });
    let empty = TreeHead { size: 0, ..head };
    for (origin, head, extensions, expected) in [
        ("", head, vec![], CheckpointError::Lines),
        ("o\n5", head, vec![], CheckpointError::Lines),
        ("o", head, vec![""], CheckpointError::Lines),
        ("o", head, vec!["a\nb"], CheckpointError::Lines),
        ("o\0", head, vec![], control.clone()),
        ("o", head, vec!["\0"], control),
        ("o", empty, vec![], CheckpointError::EmptyRoot),
    ] {
        assert_eq!(Checkpoint::new(origin, head, &extensions), Err(expected), "{origin:?}");
    }
}
