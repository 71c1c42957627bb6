//! Whether the image text of a file is the one an update started from.

use crate::core::image::ImageRef;

/// What a declared image is to an update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// It is the replaced image: this is to be written in its place, in the spelling of the file.
    Replaced(ImageRef),
    /// It is the new image already.
    AlreadySo,
    /// It is neither: somebody else's.
    Other,
    /// What is to be written is no image, so nothing is.
    NoImage,
}

/// What the text `found` in a file is to an update that replaced `from` by `to` in the cluster.
///
/// Texts that name the same repository, tag and digest are the same image, however they spell the repository: a file may
/// say `nginx:1.25` where the cluster shows `docker.io/library/nginx:1.25`.
pub fn compare(found: &str, from: &str, to: &str) -> Comparison {
    let Ok(new) = to.parse::<ImageRef>() else {
        return Comparison::NoImage;
    };
    if is_same(found, to) {
        return Comparison::AlreadySo;
    }
    if !is_same(found, from) {
        return Comparison::Other;
    }
    match found.parse::<ImageRef>() {
        Ok(old) if old.repository() == new.repository() => Comparison::Replaced(old.respelled(&new)),
        _ => Comparison::Replaced(new),
    }
}

fn is_same(one: &str, other: &str) -> bool {
    let names = |image: &ImageRef| (image.repository().clone(), image.tag().cloned(), image.digest().cloned());
    one == other || matches!((one.parse(), other.parse()), (Ok(one), Ok(other)) if names(&one) == names(&other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &str, expected: Result<&str, Comparison>) {
        let expected = expected.map_or_else(|other| other, |image| Comparison::Replaced(image.parse().unwrap()));
        assert_eq!(compare(found, "nginx:1.25", "nginx:1.26"), expected, "{found}");
    }

    #[test]
    fn the_replaced_image_becomes_the_new_one_in_the_spelling_of_the_file() {
        check("nginx:1.25", Ok("nginx:1.26"));
        check("docker.io/library/nginx:1.25", Ok("docker.io/library/nginx:1.26"));
    }

    #[test]
    fn the_new_image_is_known_in_every_spelling() {
        check("nginx:1.26", Err(Comparison::AlreadySo));
        check("docker.io/nginx:1.26", Err(Comparison::AlreadySo));
    }

    #[test]
    fn anything_else_is_somebody_elses() {
        for found in ["nginx:1.24", "nginx", "apache:1.25", "", "{{ image }}", "nginx:1.25 # x"] {
            check(found, Err(Comparison::Other));
        }
    }

    #[test]
    fn an_unparsable_image_is_replaced_when_it_is_the_very_same_text() {
        assert_eq!(compare("Web App", "Web App", "web:1"), Comparison::Replaced("web:1".parse().unwrap()));
    }

    #[test]
    fn nothing_but_an_image_is_ever_written() {
        assert_eq!(compare("web:1", "web:1", "web:2\nkind: Pod"), Comparison::NoImage);
    }
}
