// Which rules of a long list can match a packet at all, in their order: what makes the thousandth rule as cheap as the
// first one. It never says that a rule matches, only which ones do not; who asks evaluates each candidate in full
// (rule_match.hh), so an index may be coarse, or of some fields only, and the answer is that of plain evaluation.
//
// For each field that rules ask for, its values fall into cells, within which all values are alike to the rules: the
// bounds of all ranges, found by a binary search. Cells that the same rules want share a row (so the members of a group
// are one row, and groups are never multiplied out), which is a bit for each rule, held in blocks of 64 of which only
// those with a bit are there, and a summary with a bit for each block. Rules that do not ask for the field are a row of
// their own, added to each. A candidate has its bit in the rows of all fields; the summaries leave few blocks to look
// at. Of a list of one block, as most are, each row is its word as a whole, and nothing else is looked at.
//
// Made by control/compile with the policy, immutable then. Any thread; nothing here fails or allocates.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "dataplane/base/ip_address.hh"
#include "dataplane/base/types.hh"

namespace sluice {

struct RuleIndex {
    __extension__ using Wide = unsigned __int128;

    /// For the values of one field, which rules they leave.
    struct Rows {
        std::vector<std::uint64_t> any;          ///< rules that do not ask for the field; by block
        std::vector<std::uint64_t> any_summary;  ///< blocks of `any` that are not empty
        // By row, as many words each as any_summary has:
        std::vector<std::uint64_t> summary;  ///< blocks in which the row has rules besides those
        std::vector<std::uint32_t> first;    ///< where in `words` the first block of this word of the summary is
        std::vector<std::uint64_t> words;    ///< the blocks that are there, by row
        std::vector<std::uint64_t> whole;    ///< of a list of one block, in place of all these: what each row leaves
    };
    template <class Value>
    struct Field {
        std::vector<Value> cells;         ///< where each begins, ascending, from 0 on
        std::vector<std::uint32_t> rows;  ///< of each cell; of each value, without cells, if it has one byte
        Rows rules;

        /// No rule asks.
        [[nodiscard]] bool empty() const noexcept { return rows.empty(); }
        [[nodiscard]] std::uint32_t row(Value value) const noexcept {
            if constexpr (sizeof(Value) == 1) return rows[value];
            const Value* from = cells.data();
            for (std::size_t n = cells.size(); n > 1;) {
                const std::size_t half = n / 2;
                from = from[half] <= value ? from + half : from;
                n -= half;
            }
            return rows[static_cast<std::size_t>(from - cells.data())];
        }
    };

    static constexpr std::uint32_t value_of(Be32 ip4) noexcept { return ip4.host(); }
    static constexpr Wide value_of(const IpAddress& ip6) noexcept {
        return static_cast<Wide>(ip6.upper64()) << 64 | ip6.lower64();
    }

    std::uint32_t rules = 0;  ///< 0: there is no index
    Field<std::uint32_t> src4, dst4;
    Field<Wide> src6, dst6;
    Field<std::uint16_t> sport, dport;
    Field<std::uint8_t> proto, state, in_port, out_port;
};

inline constexpr std::uint32_t kNoCandidate = 0xffffffffU;

/// Goes through the rules of a list that an input may match: by its index, or, without one, through all. The first few
/// are candidates in any case: where the first rule accepts what is established, nothing is looked up for that.
template <class Input>
class Candidates {
public:
    static constexpr std::uint32_t kAlways = 2;  ///< no list that has an index is shorter

    /// `input`: a MatchInput. Only what no index knows of may change in it meanwhile: marks.
    Candidates(const RuleIndex& index, std::size_t rules, const Input& input) noexcept
        : index_(index),
          input_(input),
          rules_(static_cast<std::uint32_t>(rules)),
          plain_(index.rules == 0 ? rules_ : kAlways) {}

    /// The next one, or kNoCandidate.
    [[nodiscard]] std::uint32_t next() noexcept {
        if (next_ < plain_) return next_++;
        if (plain_ == rules_) return kNoCandidate;
        if (summaries_ == 0) look_up();
        while (word_ == 0) {
            while (blocks_ == 0) {
                if (at_ + 1 == summaries_) return kNoCandidate;
                enter_summary(at_ + 1);
            }
            const auto bit = static_cast<unsigned>(std::countr_zero(blocks_));
            blocks_ &= blocks_ - 1;
            enter_block(bit);
        }
        const auto bit = static_cast<unsigned>(std::countr_zero(word_));
        word_ &= word_ - 1;
        return block_ * 64 + bit;
    }

private:
    struct Chosen {
        const RuleIndex::Rows* rules;
        std::size_t at;  // of the row in `summary` and `first`
    };

    void look_up() noexcept {
        summaries_ = (rules_ + 4095) / 4096;
        if (rules_ <= 64) {
            std::uint64_t left = all_but_always(~std::uint64_t{0} >> (64 - rules_));
            each_field([&](const auto& field, auto value) noexcept {
                if (!field.empty()) left &= field.rules.whole[field.row(value)];
            });
            word_ = left;
            return;
        }
        each_field([&](const auto& field, auto value) noexcept {
            if (!field.empty()) chosen_[count_++] = {&field.rules, std::size_t{field.row(value)} * summaries_};
        });
        enter_summary(0);
    }
    template <class Visit>
    void each_field(Visit&& visit) const noexcept {
        if (input_.src.is_v4()) {
            visit(index_.src4, input_.src.low.host());
            visit(index_.dst4, input_.dst.low.host());
        } else {
            visit(index_.src6, RuleIndex::value_of(input_.src));
            visit(index_.dst6, RuleIndex::value_of(input_.dst));
        }
        visit(index_.dport, input_.dport);
        visit(index_.sport, input_.sport);
        visit(index_.proto, input_.proto);
        visit(index_.in_port, input_.in_port);
        visit(index_.out_port, input_.out_port);
        visit(index_.state, static_cast<std::uint8_t>(input_.state));
    }
    /// Of the first block: those have had their turn.
    static constexpr std::uint64_t all_but_always(std::uint64_t word) noexcept {
        return word & ~((std::uint64_t{1} << kAlways) - 1);
    }
    void enter_summary(std::uint32_t at) noexcept {
        at_ = at;
        const std::uint32_t blocks_left = (rules_ + 63) / 64 - at * 64;
        blocks_ = blocks_left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << blocks_left) - 1;
        for (unsigned i = 0; i < count_; ++i)
            blocks_ &= chosen_[i].rules->any_summary[at] | chosen_[i].rules->summary[chosen_[i].at + at];
    }
    void enter_block(unsigned bit) noexcept {
        block_ = at_ * 64 + bit;
        const std::uint32_t rules_left = rules_ - block_ * 64;
        word_ = rules_left >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << rules_left) - 1;
        for (unsigned i = 0; i < count_; ++i) {
            const RuleIndex::Rows& r = *chosen_[i].rules;
            const std::size_t row = chosen_[i].at + at_;
            std::uint64_t rules = r.any[block_];
            if (const std::uint64_t summary = r.summary[row]; (summary >> bit & 1) != 0) {
                const std::uint64_t before = summary & ((std::uint64_t{1} << bit) - 1);
                rules |= r.words[r.first[row] + static_cast<unsigned>(std::popcount(before))];
            }
            word_ &= rules;
        }
        if (block_ == 0) word_ = all_but_always(word_);
    }

    const RuleIndex& index_;
    const Input& input_;
    std::uint32_t rules_;
    std::uint32_t plain_;          // so many without asking the index
    std::uint32_t next_ = 0;       // of those
    std::uint32_t summaries_ = 0;  // words of each summary; 0: not looked up yet
    std::uint32_t at_ = 0;         // word of the summaries
    std::uint32_t block_ = 0;
    unsigned count_ = 0;
    std::uint64_t blocks_ = 0, word_ = 0;  // what is left of them
    std::array<Chosen, 8> chosen_;
};

}  // namespace sluice
