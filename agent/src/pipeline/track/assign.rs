//! Which track is which box: the pairs that cost least together, where no pair may cost more than a limit.
//!
//! What is made smallest is the cost of all pairs, with the limit for each row that stays alone. Rows and columns
//! that no allowed pair connects do not matter to each other, so each connected group is solved by itself: one
//! pair at once, a larger group by shortest augmenting paths (the Hungarian method with potentials), which is
//! exact (`what_is_chosen_costs_least`, against all possibilities). Most groups are single pairs, so that the
//! usual frame costs little more than its table; a crowd where everything overlaps costs the cube of its size.

/// A pair that must not be.
pub(super) const NEVER: f32 = f32::INFINITY;
/// No row, no column.
const NONE: usize = usize::MAX;

/// The table of costs and what is needed to solve it; its memory is there from the start.
#[derive(Debug)]
pub(super) struct Assignment {
    rows: usize,
    columns: usize,
    costs: Vec<f32>,
    /// Column of each row.
    of_row: Vec<Option<usize>>,
    row_seen: Vec<bool>,
    column_seen: Vec<bool>,
    group_rows: Vec<usize>,
    group_columns: Vec<usize>,
    hungarian: Hungarian,
}

/// What shortest augmenting paths work with. Index 0 of columns is where a path begins.
#[derive(Debug)]
struct Hungarian {
    row_potential: Vec<f32>,
    column_potential: Vec<f32>,
    /// Row of each column, from 1; 0: none.
    row_of: Vec<usize>,
    previous: Vec<usize>,
    least: Vec<f32>,
    used: Vec<bool>,
}

impl Assignment {
    /// Room for `most` rows and as many columns.
    pub(super) fn new(most: usize) -> Self {
        let hungarian = Hungarian {
            row_potential: Vec::with_capacity(most + 1),
            column_potential: Vec::with_capacity(2 * most + 1),
            row_of: Vec::with_capacity(2 * most + 1),
            previous: Vec::with_capacity(2 * most + 1),
            least: Vec::with_capacity(2 * most + 1),
            used: Vec::with_capacity(2 * most + 1),
        };
        Self {
            rows: 0,
            columns: 0,
            costs: Vec::with_capacity(most * most),
            of_row: Vec::with_capacity(most),
            row_seen: Vec::with_capacity(most),
            column_seen: Vec::with_capacity(most),
            group_rows: Vec::with_capacity(most),
            group_columns: Vec::with_capacity(most),
            hungarian,
        }
    }

    /// Begins a table of `rows` times `columns`, in which no pair may be.
    pub(super) fn begin(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.costs.clear();
        self.costs.resize(rows * columns, NEVER);
    }

    /// The costs of `row`, to be filled.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.costs[row * self.columns..(row + 1) * self.columns]
    }

    /// The column of each row, where it has one; no pair costs more than `limit`.
    pub(super) fn solve(&mut self, limit: f32) -> &[Option<usize>] {
        self.of_row.clear();
        self.of_row.resize(self.rows, None);
        for (seen, count) in
            [(&mut self.row_seen, self.rows), (&mut self.column_seen, self.columns)]
        {
            seen.clear();
            seen.resize(count, false);
        }
        for row in 0..self.rows {
            if !self.row_seen[row] {
                self.gather(row, limit);
                self.solve_group(limit);
            }
        }
        &self.of_row
    }

    /// The group that `first` is in: what allowed pairs connect it with.
    fn gather(&mut self, first: usize, limit: f32) {
        self.group_rows.clear();
        self.group_columns.clear();
        self.row_seen[first] = true;
        self.group_rows.push(first);
        let mut next = 0;
        while let Some(&row) = self.group_rows.get(next) {
            next += 1;
            for column in 0..self.columns {
                if self.column_seen[column] || self.costs[row * self.columns + column] > limit {
                    continue;
                }
                self.column_seen[column] = true;
                self.group_columns.push(column);
                for other in 0..self.rows {
                    if !self.row_seen[other] && self.costs[other * self.columns + column] <= limit {
                        self.row_seen[other] = true;
                        self.group_rows.push(other);
                    }
                }
            }
        }
    }

    fn solve_group(&mut self, limit: f32) {
        match (&self.group_rows[..], &self.group_columns[..]) {
            (_, []) => {}
            (&[row], &[column]) => self.of_row[row] = Some(column),
            (rows, columns) => {
                let (costs, width) = (&self.costs, self.columns);
                // A row may stay alone: so many columns more, each at the limit, as there are rows.
                let cost = |row: usize, column: usize| match columns.get(column) {
                    Some(&column) => {
                        let cost = costs[rows[row] * width + column];
                        if cost > limit { 2.0 * limit + 1.0 } else { cost }
                    }
                    None => limit,
                };
                self.hungarian.solve(rows.len(), columns.len() + rows.len(), cost);
                for (column, &row) in self.hungarian.row_of.iter().skip(1).enumerate() {
                    let (Some(&column), Some(&row)) =
                        (columns.get(column), row.checked_sub(1).and_then(|row| rows.get(row)))
                    else {
                        continue;
                    };
                    if costs[row * width + column] <= limit {
                        self.of_row[row] = Some(column);
                    }
                }
            }
        }
    }
}

impl Hungarian {
    /// Finds `row_of`: the column of each row, all different, at the least cost. At least as many columns as rows.
    fn solve(&mut self, rows: usize, columns: usize, cost: impl Fn(usize, usize) -> f32) {
        self.row_potential.clear();
        self.row_potential.resize(rows + 1, 0.0);
        for (numbers, value) in [(&mut self.column_potential, 0.0), (&mut self.least, 0.0)] {
            numbers.clear();
            numbers.resize(columns + 1, value);
        }
        for places in [&mut self.row_of, &mut self.previous] {
            places.clear();
            places.resize(columns + 1, 0);
        }
        for row in 1..=rows {
            self.row_of[0] = row;
            self.least.fill(f32::INFINITY);
            self.used.clear();
            self.used.resize(columns + 1, false);
            let mut at = 0;
            while self.row_of[at] != 0 {
                at = self.extend(at, columns, &cost);
            }
            // The path backwards: each row takes the column after it.
            while at != 0 {
                let before = self.previous[at];
                self.row_of[at] = self.row_of[before];
                at = before;
            }
        }
    }

    /// Takes column `at` into the tree of shortest paths and returns the next nearest.
    fn extend(&mut self, at: usize, columns: usize, cost: &impl Fn(usize, usize) -> f32) -> usize {
        self.used[at] = true;
        let row = self.row_of[at];
        let (mut delta, mut nearest) = (f32::INFINITY, NONE);
        for column in 1..=columns {
            if self.used[column] {
                continue;
            }
            let reduced =
                cost(row - 1, column - 1) - self.row_potential[row] - self.column_potential[column];
            if reduced < self.least[column] {
                (self.least[column], self.previous[column]) = (reduced, at);
            }
            if self.least[column] < delta {
                (delta, nearest) = (self.least[column], column);
            }
        }
        for column in 0..=columns {
            if self.used[column] {
                self.row_potential[self.row_of[column]] += delta;
                self.column_potential[column] -= delta;
            } else {
                self.least[column] -= delta;
            }
        }
        nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Least cost by trying everything.
    fn least(costs: &[Vec<f32>], limit: f32, row: usize, taken: &mut Vec<bool>) -> f32 {
        let Some(of_row) = costs.get(row) else { return 0.0 };
        let mut best = limit + least(costs, limit, row + 1, taken);
        for (column, &cost) in of_row.iter().enumerate() {
            if cost <= limit && !taken[column] {
                taken[column] = true;
                best = best.min(cost + least(costs, limit, row + 1, taken));
                taken[column] = false;
            }
        }
        best
    }

    fn solved(costs: &[Vec<f32>], limit: f32, assignment: &mut Assignment) -> Vec<Option<usize>> {
        assignment.begin(costs.len(), costs.first().map_or(0, Vec::len));
        for (row, numbers) in costs.iter().enumerate() {
            assignment.row_mut(row).copy_from_slice(numbers);
        }
        assignment.solve(limit).to_vec()
    }

    #[test]
    fn what_is_chosen_costs_least() {
        let mut state = 7_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap()) / 65_536.0
        };
        let mut assignment = Assignment::new(8);
        for round in 0..3000 {
            let (rows, columns) = (1 + round % 6, 1 + (round / 6) % 6);
            let sparse = random();
            let mut number = || if random() < sparse { NEVER } else { random() };
            let costs: Vec<Vec<f32>> =
                (0..rows).map(|_| (0..columns).map(|_| number()).collect()).collect();
            for limit in [0.3, 0.8] {
                let of_row = solved(&costs, limit, &mut assignment);
                let mut taken = vec![false; columns];
                let mut total = 0.0;
                for (row, column) in of_row.iter().enumerate() {
                    total += match column {
                        Some(column) => {
                            assert!(!std::mem::replace(&mut taken[*column], true), "{costs:?}");
                            assert!(costs[row][*column] <= limit, "{costs:?}");
                            costs[row][*column]
                        }
                        None => limit,
                    };
                }
                let best = least(&costs, limit, 0, &mut vec![false; columns]);
                assert!((total - best).abs() < 1e-4, "{total} {best} {limit} {costs:?}");
            }
        }
    }

    #[test]
    fn a_greedy_choice_would_be_wrong_here_and_is_not_made() {
        let costs = [vec![0.1, 0.2], vec![0.15, 0.9]];
        let of_row = solved(&costs, 0.8, &mut Assignment::new(2));
        assert_eq!(of_row, [Some(1), Some(0)]);
    }

    #[test]
    fn nothing_is_paired_with_nothing() {
        let mut assignment = Assignment::new(2);
        assert_eq!(solved(&[], 0.5, &mut assignment), []);
        assert_eq!(solved(&[vec![], vec![]], 0.5, &mut assignment), [None, None]);
    }
}
