//! Invented runners: the same ones in every run.

use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

use crate::names::{CULTURES, Culture, LONG_FIRST_NAME, LONG_LAST_NAME};

/// The race that is open at RunSignup, too.
pub(crate) const RUN: &str = "5 km";
/// The others, and how many of a hundred enter each.
pub(crate) const RACES: [(&str, u64); 3] = [("Marathon", 30), ("Half marathon", 45), ("10 km", 25)];
pub(crate) const GROUPS: [&str; 4] = ["A", "B", "C", "D"];
/// So many of the first runners have an e-mail address, as far as their family has one.
pub(crate) const REACHABLE: u64 = 200;
const SHIRTS: [&str; 5] = ["XS", "S", "M", "L", "XL"];
const CITIES: [&str; 6] =
    ["eThekwini", "uMgungundlovu", "Gqeberha", "Mangaung", "Gauteng", "Kapstaden"];
const CLUBS: [&str; 5] =
    ["Umkhomazi Striders", "Drakensberg Harriers", "Savages", "Löwen '84", "Maseru Pacers"];

/// One entry: a person, the registration, the place in a start group and the tag.
pub(crate) struct Runner {
    pub(crate) first_name: String,
    pub(crate) last_name: String,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    /// Days since 1946-01-01.
    pub(crate) born: i32,
    pub(crate) gender: &'static str,
    pub(crate) language: &'static str,
    pub(crate) city: &'static str,
    pub(crate) medical: Option<&'static str>,
    pub(crate) race: &'static str,
    pub(crate) team: Option<&'static str>,
    pub(crate) shirt: &'static str,
    pub(crate) bib: String,
    /// A few have not chosen one yet.
    pub(crate) group: Option<&'static str>,
    /// A few have not picked theirs up yet.
    pub(crate) tag: Option<String>,
    pub(crate) tag_uuid: Uuid,
}

/// Who enters, in the order of entry.
pub(crate) struct Entries {
    random: Random,
    last_bib: u64,
    family: Option<Family>,
}

/// Relatives share a name, an e-mail address and a city.
struct Family {
    culture: &'static Culture,
    name: &'static str,
    email: Option<String>,
    city: &'static str,
    left: u64,
}

impl Entries {
    pub(crate) fn new() -> Self {
        Self { random: Random(2026), last_bib: 0, family: None }
    }

    /// The next `n` runners.
    pub(crate) fn next(&mut self, n: usize) -> Vec<Runner> {
        (0..n).map(|_| self.runner()).collect()
    }

    fn runner(&mut self) -> Runner {
        self.last_bib += 1;
        let n = self.last_bib;
        let family = self.relative();
        let random = &mut self.random;
        let is_woman = random.chance(48);
        let given = if is_woman { family.culture.women } else { family.culture.men };
        let mut runner = Runner {
            first_name: random.one_of(given).to_owned(),
            last_name: family.name.to_owned(),
            phone: Some(format!("+27{:09}", 600_000_000 + random.below(99_999_999))),
            born: i32::try_from(random.below(62 * 365)).unwrap_or_default(),
            gender: match random.below(100) {
                0..3 => "UNKNOWN",
                _ if is_woman => "FEMALE",
                _ => "MALE",
            },
            language: family.culture.language,
            city: family.city,
            medical: random.chance(4).then_some("asthma"),
            race: random.race(),
            team: random.chance(20).then(|| random.one_of(CLUBS)),
            shirt: random.one_of(SHIRTS),
            bib: format!("{n:05}"),
            group: random.chance(98).then(|| random.one_of(GROUPS)),
            tag: random.chance(95).then(|| format!("UM{:06X}", n * 7_919 % 0xFF_FFFF)),
            tag_uuid: random.uuid(),
            email: family.email,
        };
        runner.make_special(n);
        runner
    }

    /// Somebody of the family at hand, or of a new one.
    fn relative(&mut self) -> Family {
        let random = &mut self.random;
        let mut family = self.family.take().filter(|family| family.left > 0).unwrap_or_else(|| {
            let culture = random.culture();
            Family {
                culture,
                name: random.one_of(culture.families),
                // One household in twelve gives no address at all.
                email: (!random.chance(8))
                    .then(|| format!("household{}@runners.example", self.last_bib)),
                city: random.one_of(CITIES),
                left: if random.chance(25) { 2 + random.below(4) } else { 1 },
            }
        });
        family.left -= 1;
        let member = Family { email: family.email.clone(), ..family };
        self.family = Some(family);
        member
    }
}

impl Runner {
    /// What a form lets through: names in decomposed spelling, stray spaces, no room left.
    fn make_special(&mut self, n: u64) {
        // RunSignup serves two calls at once: every second one of those whom the platforms know enters there.
        if n > REACHABLE {
            (self.email, self.phone) = (None, None);
        } else if n.is_multiple_of(2) {
            (self.race, self.phone) = (RUN, None);
        }
        if n.is_multiple_of(50) {
            self.first_name = self.first_name.nfd().collect();
            self.last_name = self.last_name.nfd().collect();
        }
        if n % 90 == 7 {
            self.first_name.push(' ');
        }
        if n == 99 {
            LONG_FIRST_NAME.clone_into(&mut self.first_name);
            LONG_LAST_NAME.clone_into(&mut self.last_name);
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.first_name.trim(), self.last_name)
    }

    pub(crate) fn is_decomposed(&self) -> bool {
        let composed = |text: &str| text.nfc().eq(text.chars());
        !composed(&self.first_name) || !composed(&self.last_name)
    }
}

/// `SplitMix64`: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        const { assert!(N > 0) };
        let bound = u64::try_from(N).unwrap_or(1);
        let index = usize::try_from(self.below(bound)).unwrap_or_default();
        let [first, ..] = all.as_slice() else { unreachable!("N > 0") };
        *all.get(index).unwrap_or(first)
    }

    /// Half of the cultures' weight lies on the first four.
    fn culture(&mut self) -> &'static Culture {
        let all = CULTURES.each_ref();
        let [a, b, c, d, ..] = all;
        if self.chance(55) { self.one_of([a, a, b, c, d]) } else { self.one_of(all) }
    }

    fn race(&mut self) -> &'static str {
        let mut at = self.below(100);
        for (race, share) in RACES {
            if at < share {
                return race;
            }
            at -= share;
        }
        "10 km"
    }

    fn uuid(&mut self) -> Uuid {
        let (high, low) = (self.number(), self.number());
        uuid::Builder::from_random_bytes(Uuid::from_u64_pair(high, low).into_bytes()).into_uuid()
    }
}
