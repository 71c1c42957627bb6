//! Where Go's `sort.Slice` and `sort.Sort` leave equals. Keel takes the first of the versions that are equal (`1.6`, `1.6.0`), and neither keeps
//! their order once there are more than twelve.
//!
//! It follows from the list alone, by the decisions of Go 1.24 and later (`src/sort/zsortfunc.go`): pattern-defeating quicksort (Orson Peters,
//! arXiv:2106.05123), insertion for few items, and a heap where pivots turn out badly. What says which of two is less need not be an order, as
//! Keel's comparison of versions is none.

use std::mem::swap;

/// Up to so many items are sorted by insertion.
const INSERTION_MAX: usize = 12;
/// Of so many items and more, the pivot is the median of three medians.
const MEDIANS_LENGTH_MIN: usize = 50;
/// Exchanges that those four medians take at most; they take so many where the items descend.
const EXCHANGES_MAX: u32 = 12;
/// So many items and more are mended where they seem to ascend.
const MENDED_LENGTH_MIN: usize = 50;
/// How many items are moved for that at most.
const MOVES_MAX: u32 = 5;

/// Sorts the items as Go does.
pub fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let to = items.len();
    Sorting { items, less }.sort(0, to, usize::BITS - to.leading_zeros());
}

struct Sorting<'a, T, L> {
    items: &'a mut [T],
    less: L,
}

/// What the choice of a pivot has shown of the items.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seem {
    Ascending,
    Descending,
    Unsorted,
}

impl<T, L: Fn(&T, &T) -> bool> Sorting<'_, T, L> {
    fn less(&self, left: usize, right: usize) -> bool {
        self.items.get(left).zip(self.items.get(right)).is_some_and(|(left, right)| (self.less)(left, right))
    }

    /// Moves an item down for as long as it is less than the one before it, at most to `least`.
    fn sink(&mut self, from: usize, least: usize) {
        let mut at = from;
        while at > least && self.less(at, at - 1) {
            self.items.swap(at, at - 1);
            at -= 1;
        }
    }

    /// Sorts `from..to`, item by item.
    fn insert_each(&mut self, from: usize, to: usize) {
        for at in from + 1..to {
            self.sink(at, from);
        }
    }

    /// Sorts `from..to`, with at most so many pivots that divide badly.
    fn sort(&mut self, mut from: usize, mut to: usize, mut bad_pivots: u32) {
        let (mut is_balanced, mut is_parted) = (true, true);
        loop {
            let length = to - from;
            if length <= INSERTION_MAX {
                return self.insert_each(from, to);
            }
            if bad_pivots == 0 {
                return self.sort_by_heap(from, to);
            }
            if !is_balanced {
                self.scatter(from, to);
                bad_pivots -= 1;
            }
            let (mut pivot, mut seem) = self.choose_pivot(from, to);
            if seem == Seem::Descending {
                self.items.get_mut(from..to).unwrap_or_default().reverse();
                (pivot, seem) = (to - 1 - (pivot - from), Seem::Ascending);
            }
            if is_balanced && is_parted && seem == Seem::Ascending && self.mend(from, to) {
                return;
            }
            // No item here is less than the one before them all. The pivot is as little, and so its equals come first.
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.part_equals(from, to, pivot);
                continue;
            }
            let middle;
            (middle, is_parted) = self.part(from, to, pivot);
            let (left, right) = (middle - from, to - middle);
            is_balanced = left.min(right) >= length / 8;
            if left < right {
                self.sort(from, middle, bad_pivots);
                from = middle + 1;
            } else {
                self.sort(middle + 1, to, bad_pivots);
                to = middle;
            }
        }
    }

    /// Puts what is less than the pivot before it, and all else after it. Gives its place, and whether all was so before.
    fn part(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.items.swap(from, pivot);
        let (mut left, mut right, mut is_parted) = (from + 1, to - 1, true);
        loop {
            while left <= right && self.less(left, from) {
                left += 1;
            }
            while left <= right && !self.less(right, from) {
                right -= 1;
            }
            if left > right {
                self.items.swap(right, from);
                return (right, is_parted);
            }
            self.items.swap(left, right);
            (left, right, is_parted) = (left + 1, right - 1, false);
        }
    }

    /// Puts what is not greater than the pivot before all else. Gives where that begins.
    fn part_equals(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.items.swap(from, pivot);
        let (mut left, mut right) = (from + 1, to - 1);
        loop {
            while left <= right && !self.less(from, left) {
                left += 1;
            }
            while left <= right && self.less(from, right) {
                right -= 1;
            }
            if left > right {
                return left;
            }
            self.items.swap(left, right);
            (left, right) = (left + 1, right - 1);
        }
    }

    /// Moves a few items that are in the wrong place, down past `from` if need be, which among items that have an order none needs. Gives whether
    /// all is sorted then.
    fn mend(&mut self, from: usize, to: usize) -> bool {
        let mut at = from + 1;
        for _ in 0..MOVES_MAX {
            while at < to && !self.less(at, at - 1) {
                at += 1;
            }
            if at == to {
                return true;
            }
            if to - from < MENDED_LENGTH_MIN {
                return false;
            }
            self.items.swap(at, at - 1);
            if at - from >= 2 {
                self.sink(at - 1, 0);
            }
            for next in at + 1..to {
                if !self.less(next, next - 1) {
                    break;
                }
                self.items.swap(next, next - 1);
            }
        }
        false
    }

    /// Exchanges three items in the middle with any others: Marsaglia's xorshift, which begins with the length.
    fn scatter(&mut self, from: usize, to: usize) {
        let length = to - from;
        let mut random = length as u64;
        let mask = (1_usize << (usize::BITS - length.leading_zeros())) - 1;
        let middle = from + length / 4 * 2;
        for at in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            #[expect(clippy::cast_possible_truncation, reason = "only its lowest bits are used")]
            let other = random as usize & mask;
            self.items.swap(at, from + if other >= length { other - length } else { other });
        }
    }

    /// The place of an item that is probably in the middle, and what the items seem to be.
    fn choose_pivot(&self, from: usize, to: usize) -> (usize, Seem) {
        let length = to - from;
        let mut exchanges = 0;
        let mut places = [1, 2, 3].map(|quarter| from + length / 4 * quarter);
        if length >= MEDIANS_LENGTH_MIN {
            places = places.map(|at| self.find_median([at - 1, at, at + 1], &mut exchanges));
        }
        let pivot = self.find_median(places, &mut exchanges);
        let seem = match exchanges {
            0 => Seem::Ascending,
            EXCHANGES_MAX => Seem::Descending,
            _ => Seem::Unsorted,
        };
        (pivot, seem)
    }

    /// The place of the middle one of three items; counts the exchanges that it takes.
    fn find_median(&self, [mut a, mut b, mut c]: [usize; 3], exchanges: &mut u32) -> usize {
        let mut order = |left: &mut usize, right: &mut usize| {
            if self.less(*right, *left) {
                swap(left, right);
                *exchanges += 1;
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }

    /// Sorts `from..to`, in n log n steps whatever the items.
    fn sort_by_heap(&mut self, from: usize, to: usize) {
        let length = to - from;
        for root in (0..length.div_ceil(2)).rev() {
            self.sift_down(from, root, length);
        }
        for end in (0..length).rev() {
            self.items.swap(from, from + end);
            self.sift_down(from, 0, end);
        }
    }

    /// Moves the root of a heap, which begins at `from` and ends before `from + end`, below what is greater.
    fn sift_down(&mut self, from: usize, mut root: usize, end: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && self.less(from + child, from + child + 1) {
                child += 1;
            }
            if !self.less(from + root, from + child) {
                return;
            }
            self.items.swap(from + root, from + child);
            root = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::sort;

    /// Lengths beside each number that decides.
    const LENGTHS: [u64; 12] = [0, 1, 2, 12, 13, 40, 49, 50, 60, 100, 500, 2000];

    /// An item: what it is sorted by, and where it was.
    type Item = (u64, u64);

    /// Folds where the items were into one number, for lists of each length.
    fn fold(sorted: impl Fn(u64) -> Vec<Item>) -> u64 {
        let places = LENGTHS.into_iter().flat_map(|length| sorted(length).into_iter().map(|(_, place)| place));
        places.fold(0, |folded: u64, place| folded.wrapping_mul(31).wrapping_add(place))
    }

    /// `expected` is what comes of the same lists, sorted by `sort.Slice` of Go 1.26.
    #[track_caller]
    fn check(key: impl Fn(u64, u64) -> u64, less: impl Fn(&Item, &Item) -> bool, expected: u64) {
        let folded = fold(|length| {
            let mut items: Vec<_> = (0..length).map(|place| (key(place, length), place)).collect();
            sort(&mut items, &less);
            items
        });
        assert_eq!(folded, expected);
    }

    fn random(place: u64) -> u64 {
        (place + 1).wrapping_mul(6_364_136_223_846_793_005) >> 33
    }

    fn ascending_but_for_a_few(place: u64, _: u64) -> u64 {
        if place % 499 == 40 { 5 } else { place / 3 }
    }

    #[test]
    fn equals_come_where_go_leaves_them() {
        let less = |left: &Item, right: &Item| left.0 < right.0;
        check(|_, _| 0, less, 4_815_717_050_064_424_144);
        check(|place, _| random(place) % 2, less, 8_566_086_336_985_065_336);
        check(|place, _| random(place) % 97, less, 4_679_101_272_635_779_086);
        check(ascending_but_for_a_few, less, 2_666_522_414_380_478_836);
        check(|place, length| (length - place) / 3, less, 13_544_578_117_905_928_174);
        check(|place, _| place % 17, less, 3_119_147_076_014_782_850);
        check(|place, length| place.min(length - place), less, 10_294_549_370_639_425_712);
    }

    #[test]
    fn what_is_no_order_is_taken_as_go_takes_it() {
        let less = |left: &Item, right: &Item| left.0 <= right.0;
        check(|place, _| random(place) % 97, less, 16_302_334_005_801_682_980);
        check(ascending_but_for_a_few, less, 11_755_027_991_346_673_880);
    }

    /// "A Killer Adversary for Quicksort" (Software: Practice and Experience 29, 1999): each item is given its value when it is asked about, so that every pivot is a bad one.
    #[test]
    fn bad_pivots_come_to_an_end() {
        const OPEN: u64 = u64::MAX;
        let folded = fold(|length| {
            let mut items: Vec<Item> = (0..length).map(|place| (0, place)).collect();
            let asked = RefCell::new((vec![OPEN; items.len()], 0, 0));
            sort(&mut items, |(_, left), (_, right)| {
                let (values, given, candidate) = &mut *asked.borrow_mut();
                let [left, right] = [*left, *right].map(|place| usize::try_from(place).unwrap());
                if values[left] == OPEN && values[right] == OPEN {
                    values[if left == *candidate { left } else { right }] = *given;
                    *given += 1;
                }
                if values[left] == OPEN {
                    *candidate = left;
                } else if values[right] == OPEN {
                    *candidate = right;
                }
                values[left] < values[right]
            });
            items
        });
        assert_eq!(folded, 12_140_904_166_272_396_908);
    }
}
