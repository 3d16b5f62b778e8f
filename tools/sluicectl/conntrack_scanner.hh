// The words of `sluicectl conntrack` as options: which there are, by the letters, names and abbreviations of
// conntrack(8) 1.4.7, read by the same getopt_long. What they mean together is conntrack_options.hh.
#pragma once

#include <getopt.h>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/sluicectl/conntrack_options.hh"

namespace sluice::ctl {

struct ConntrackOption {
    int letter;             ///< as given to getopt; above 255: no short form
    const char* names;      ///< the first long form is said in complaints
    int argument;           ///< no_argument, required_argument, optional_argument
    const char* parameter;  ///< of /v1/flows; "" when it is none
    const char* commands;   ///< L D G F U E, and l for the listing of the table expect; * all
};

// Where a letter is not conntrack's own it has none there either.
enum ConntrackLong : int {
    opt_reply_port_src = 256,
    opt_reply_port_dst,
    opt_sport,
    opt_dport,
    opt_icmp_type,
    opt_icmp_code,
    opt_icmp_id,
    opt_state,
    opt_orig_zone,
    opt_reply_zone,
    opt_mask_src,
    opt_mask_dst,
    opt_tuple_src,
    opt_tuple_dst,
    opt_label_add,
    opt_label_del,
    opt_json,
    opt_socket,
};

struct ConntrackVerb {
    char letter;  ///< 0: sluice does not have it
    int option;
    const char* names;
    ConntrackCommand command;
};

std::span<const ConntrackOption> conntrack_options();
std::span<const ConntrackVerb> conntrack_verbs();

/// Of "-s,--src,--orig-src" the first that begins with two dashes.
std::string first_long(const char* names);
/// The parts between commas.
std::vector<std::string> split_list(std::string_view list);
/// Throws the Complaint that points to the help.
[[noreturn]] void complain(const std::string& message);

/// Calls getopt_long over a copy of the words; what was found, in order. One at a time (getopt's state is global).
class ConntrackScanner {
public:
    explicit ConntrackScanner(const std::vector<std::string>& words);

    /// The next option's letter, or -1; `value` is empty when there is none. Throws Complaint.
    int next();
    /// An optional value may also be the next word, which getopt leaves alone.
    void take_next_word();

    std::optional<std::string> value;

private:
    [[nodiscard]] int argc() const { return static_cast<int>(argv_.size()) - 1; }
    void add(const char* names, int letter, int argument);

    std::vector<std::string> words_;
    std::vector<char*> argv_;
    std::vector<std::unique_ptr<std::string>> names_;
    std::vector<::option> table_;
    std::string short_ = ":";
};

}  // namespace sluice::ctl
