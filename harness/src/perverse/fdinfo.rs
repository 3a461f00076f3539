//! What fdinfo tells of a userfaultfd, with a number too many or too few.

use super::{Perversion, new};

/// The line of this key with its value changed.
fn line(
    name: &'static str,
    breaks: &'static [&'static str],
    what: &'static str,
    key: &'static str,
    change: fn(&str) -> String,
) -> Perversion {
    new(name, breaks, what).fdinfo(move |text| {
        text.lines()
            .map(|line| match line.strip_prefix(key) {
                Some(value) => format!("{key}{}\n", change(value)),
                None => format!("{line}\n"),
            })
            .collect()
    })
}

/// One of the numbers of the line `API`, changed.
fn api(value: &str, index: usize, change: fn(u64) -> u64) -> String {
    let mut parts: Vec<String> = value.split(':').map(str::to_owned).collect();
    if let Some(part) = parts.get_mut(index)
        && let Ok(number) = u64::from_str_radix(part, 16)
    {
        *part = format!("{:x}", change(number));
    }
    parts.join(":")
}

pub(super) fn list() -> Vec<Perversion> {
    let value = |text: &str, key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("0").to_owned();
    vec![
        line("fdinfo-without-features", &["API-022"], "fdinfo tells of no features", "API:\t", |text| {
            api(text, 1, |_| 0)
        }),
        line(
            "fdinfo-without-the-internal-bit",
            &["API-022"],
            "fdinfo leaves out the kernel's own bit 31",
            "API:\t",
            |text| api(text, 1, |features| features & !(1 << 31)),
        ),
        line(
            "fdinfo-features-one-too-many",
            &["API-022"],
            "fdinfo tells of a feature that is not enabled",
            "API:\t",
            |text| api(text, 1, |features| features | 1 << 14),
        ),
        line("fdinfo-ioctls-lack-wake", &["API-022"], "fdinfo leaves out WAKE", "API:\t", |text| {
            api(text, 2, |ioctls| ioctls & !4)
        }),
        new("fdinfo-pending-counts-all", &["API-023"], "pending counts those whose message was read too").fdinfo(
            move |text| {
                let total = value(&text, "total:\t");
                text.lines()
                    .map(|line| {
                        if line.starts_with("pending:") { format!("pending:\t{total}\n") } else { format!("{line}\n") }
                    })
                    .collect()
            },
        ),
        new("fdinfo-total-counts-unread-only", &["API-023"], "total leaves out those whose message was read").fdinfo(
            move |text| {
                let pending = value(&text, "pending:\t");
                text.lines()
                    .map(
                        |line| {
                            if line.starts_with("total:") {
                                format!("total:\t{pending}\n")
                            } else {
                                format!("{line}\n")
                            }
                        },
                    )
                    .collect()
            },
        ),
        line("fdinfo-counts-nobody", &["API-023", "FAULT-031"], "fdinfo tells of no waiters", "total:\t", |_| {
            "0".to_owned()
        }),
        line(
            "fdinfo-counts-one-too-many",
            &["API-022", "API-023", "FAULT-031"],
            "fdinfo tells of one waiter too many",
            "total:\t",
            |text| (text.parse::<u64>().unwrap_or(0) + 1).to_string(),
        ),
    ]
}
