#include "control/linux/guard.hh"

#include <algorithm>
#include <array>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace sluice {
namespace {

/// Names go into nft's language between quotes; what could end the quotes is not a name that sluice works with.
bool is_quotable(const std::string& name) {
    return !name.empty() && name.size() < IFNAMSIZ &&
           std::ranges::none_of(name, [](unsigned char c) { return c <= ' ' || c == '"' || c == '\\' || c == '*'; });
}

std::string quoted_list(std::span<const std::string> names) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "\"" : ", \"") + name + '"';
    return list;
}

/// A set may be empty, but its list of elements may not.
std::string twin_set(std::span<const std::string> names) {
    return "  set twins { type ifname;" + (names.empty() ? "" : " elements = { " + quoted_list(names) + " };") + " }\n";
}

constexpr const char* kForwardChain =
    "  chain forward {\n"
    "    type filter hook forward priority -1000; policy accept;\n"
    "    iifname @twins counter drop\n"
    "    oifname @twins counter drop\n"
    "  }\n";

/// Before defragmentation (-400), which tracking would otherwise ask for.
constexpr const char* kTrackChains =
    "  chain prerouting { type filter hook prerouting priority -450; policy accept; iifname @twins notrack; }\n"
    "  chain output { type filter hook output priority -450; policy accept; oifname @twins notrack; }\n";

constexpr std::array<const char*, 3> kFamilies{"inet", "bridge", "netdev"};
constexpr std::string_view kPrefix = "sluice_guard";

/// Other characters than those of nft's words become a '/' and two digits, for no device has a '/' in its name.
std::string table_name_for(const std::string& twin) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string name = std::string(kPrefix) + "_";
    for (const char c : twin) {
        const auto byte = static_cast<unsigned char>(c);
        const bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                             c == '-' || c == '.';
        if (is_word)
            name += c;
        else
            (name += '/') += {kDigits[byte >> 4], kDigits[byte & 15U]};
    }
    return name;
}

/// "add" first, so that "delete" finds one: nft 1.0.6 has no "destroy".
std::string without(const std::string& table) {
    return "add table " + table + "\ndelete table " + table + "\n";
}

/// What stands between quotes in the elements of a listed table's set: the interfaces that it guards.
std::vector<std::string> elements_of(const std::string& listing) {
    std::vector<std::string> names;
    const std::size_t begin = listing.find("elements = {");
    if (begin == std::string::npos) return names;
    const std::size_t end = listing.find('}', begin);
    for (std::size_t open = listing.find('"', begin); open < end;) {
        const std::size_t close = listing.find('"', open + 1);
        if (close == std::string::npos) break;
        names.push_back(listing.substr(open + 1, close - open - 1));
        open = listing.find('"', close + 1);
    }
    return names;
}

}  // namespace

Guard::Guard(nft_ctx* nft, std::string table) : nft_(nft), table_(std::move(table)) {}
Guard::~Guard() {
    nft_ctx_free(nft_);
}

OrFailure<std::unique_ptr<Guard>> Guard::open(const std::string& first_twin) {
    nft_ctx* nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (nft == nullptr) return Failure{"nftables: libnftables cannot be started"};
    std::unique_ptr<Guard> guard{new Guard(nft, table_name_for(first_twin))};
    if (nft_ctx_buffer_error(nft) != 0 || nft_ctx_buffer_output(nft) != 0) return Failure{"nftables: out of memory"};
    return guard;
}

MaybeFailure Guard::run(const std::string& commands, const std::string& what) {
    if (nft_run_cmd_from_buffer(nft_, commands.c_str()) == 0) return std::nullopt;
    // The first line says what is wrong; the others repeat the command and point into it.
    const std::string words = nft_ctx_get_error_buffer(nft_);
    return Failure{"nftables: " + what + ": " + words.substr(0, words.find('\n'))};
}

std::string Guard::gone(const std::string& family) const {
    return without(family + " " + table_);
}

std::string Guard::forward_tables() const {
    std::string text;
    for (const bool bridge : {false, true}) {
        const std::string family = bridge ? "bridge" : "inet";
        text += gone(family) + "table " + family + " " + table_ + " {\n" + twin_set(interfaces_) + kForwardChain +
                (bridge ? "" : kTrackChains) + "}\n";
    }
    return text;
}

/// A chain's policy drops; its rule counts, since frames that are lost here are in no counter of the device. Its name
/// is the number, since a device's name need not be a word of nft.
std::string Guard::ingress_chains() const {
    std::string chains;
    for (const unsigned ifindex : devices_) {
        std::array<char, IFNAMSIZ> name{};
        if (if_indextoname(ifindex, name.data()) == nullptr || !is_quotable(name.data())) continue;
        chains.append("  chain device").append(std::to_string(ifindex));
        chains.append(" { type filter hook ingress device \"").append(name.data());
        chains.append("\" priority -500; policy drop; counter; }\n");
    }
    return chains;
}

std::string Guard::ingress_table() const {
    const std::string chains = ingress_chains();
    return gone("netdev") + (chains.empty() ? "" : "table netdev " + table_ + " {\n" + chains + "}\n");
}

std::size_t Guard::devices_there() const {
    const std::string chains = ingress_chains();
    return static_cast<std::size_t>(std::ranges::count(chains, '\n'));
}

MaybeFailure Guard::set_interfaces(std::span<const std::string> names) {
    for (const std::string& name : names)
        if (!is_quotable(name)) return Failure{"nftables: \"" + name + "\" is not a name for a network device"};
    interfaces_.assign(names.begin(), names.end());
    forward_set_ = true;
    if (auto failure = run(forward_tables(), "guard of the twins")) return failure;
    return note_written();
}

MaybeFailure Guard::set_ingress(std::span<const std::string> devices) {
    std::vector<unsigned> indexes;
    for (const std::string& name : devices) {
        indexes.push_back(if_nametoindex(name.c_str()));
        if (indexes.back() == 0 || !is_quotable(name))
            return Failure{"nftables: there is no network device \"" + name + '"'};
    }
    devices_ = std::move(indexes);
    if (auto failure = run(ingress_table(), "ingress guard")) return failure;
    return note_written();
}

MaybeFailure Guard::remove() {
    forward_set_ = false;
    if (auto failure = run(gone("inet") + gone("bridge"), "removing the guard")) return failure;
    return note_written();
}

/// What nft makes of our own words is what it must show from now on.
MaybeFailure Guard::note_written() {
    auto found = tables_in_force(false);
    if (auto* failure = std::get_if<Failure>(&found)) return std::move(*failure);
    written_ = std::move(std::get<GuardState>(found));
    devices_written_ = devices_there();
    return std::nullopt;
}

OrFailure<bool> Guard::keep() {
    if (!forward_set_ && devices_.empty()) return false;
    auto found = tables_in_force(false);
    if (auto* failure = std::get_if<Failure>(&found)) return std::move(*failure);
    const auto& now = std::get<GuardState>(found);
    // Present, too: what was written may have been lost before note_written() looked at it.
    const auto as_written = [&](const char* family, bool present) {
        const auto is = now.find(family);
        const auto was = written_.find(family);
        if (is == now.end() || was == written_.end()) return !present && is == now.end();
        return present && is->second == was->second;
    };
    const std::size_t devices = devices_there();
    const bool forward = !forward_set_ || (as_written("inet", true) && as_written("bridge", true));
    const bool ingress = as_written("netdev", devices != 0);
    if (forward && ingress && devices == devices_written_) return false;
    if (auto failure = run((forward_set_ ? forward_tables() : "") + ingress_table(), "writing the guard again"))
        return std::move(*failure);
    // A device that went away takes its chain along (newer kernels keep it, empty-handed); that is nobody's doing.
    const bool by_somebody = !forward || devices == devices_written_;
    if (auto failure = note_written()) return std::move(*failure);
    return by_somebody;
}

std::string Guard::output() const {
    const char* text = nft_ctx_get_output_buffer(nft_);
    return text == nullptr ? "" : text;
}

OrFailure<GuardState> Guard::tables_in_force(bool with_counters) {
    nft_ctx_output_set_flags(nft_, with_counters ? 0U : unsigned{NFT_CTX_OUTPUT_STATELESS});
    if (auto failure = run("list tables\n", "listing the tables")) return *failure;
    const std::string present = output();
    GuardState tables;
    for (const char* family : kFamilies) {
        const std::string name = std::string("table ") + family + " " + table_ + "\n";
        if (present.find(name) == std::string::npos) continue;
        if (auto failure = run("list " + name, "reading the guard")) return *failure;
        tables[family] = output();
    }
    return tables;
}

OrFailure<GuardState> Guard::state() {
    return tables_in_force(true);
}

MaybeFailure Guard::restore(const GuardState& wanted) {
    auto found = state();
    if (auto* failure = std::get_if<Failure>(&found)) return *failure;
    const auto& now = std::get<GuardState>(found);
    const auto text_of = [](const GuardState& tables, const char* family) {
        const auto at = tables.find(family);
        return at == tables.end() ? std::string{} : at->second;
    };
    MaybeFailure first;
    for (const char* family : kFamilies) {
        const std::string text = text_of(wanted, family);
        if (text_of(now, family) == text) continue;
        auto failure = run(gone(family) + text, "taking the guard back");
        if (failure && !first) first = std::move(failure);
    }
    return first;
}

MaybeFailure Guard::remove_leftovers() {
    nft_ctx_output_set_flags(nft_, NFT_CTX_OUTPUT_STATELESS);
    if (auto failure = run("list tables\n", "listing the tables")) return failure;
    std::istringstream present(output());
    std::map<std::string, std::vector<std::string>> families;  // by table
    for (std::string word, family, table; present >> word >> family >> table;) {
        const bool ours = table == kPrefix || table.starts_with(std::string(kPrefix) + '_');
        if (!ours || table == table_ || std::ranges::find(kFamilies, family) == kFamilies.end()) continue;
        families[table].push_back(family);
    }
    MaybeFailure first;
    for (const auto& [table, its_families] : families) {
        std::string removal;
        bool in_use = false;
        for (const std::string& family : its_families) {
            const std::string name = family + " " + table;
            removal += without(name);
            if (run("list table " + name + "\n", "reading the guard")) continue;  // it has gone meanwhile
            for (const std::string& guarded : elements_of(output()))
                in_use = in_use || (if_nametoindex(guarded.c_str()) != 0 &&
                                    std::ranges::find(interfaces_, guarded) == interfaces_.end());
        }
        if (in_use) continue;
        auto failure = run(removal, "removing the guard of twins that are gone");
        if (failure && !first) first = std::move(failure);
    }
    return first;
}

GuardedLinks::GuardedLinks(std::vector<std::string> twin_names) : twins_(std::move(twin_names)) {
    refresh();
}

bool GuardedLinks::on_link(const LinkInfo& link, bool gone) {
    if (gone)
        links_.erase(link.ifindex);
    else
        links_[link.ifindex] = link;
    return refresh();
}

bool GuardedLinks::set_twins(std::vector<std::string> twin_names) {
    twins_ = std::move(twin_names);
    return refresh();
}

bool GuardedLinks::refresh() {
    static const std::set<std::string> kStacked{"macvlan", "macvtap", "ipvlan", "ipvtap", "vlan"};
    std::set<std::string> names(twins_.begin(), twins_.end());
    std::set<IfIndex> guarded;
    for (const auto& [ifindex, link] : links_)
        if (names.contains(link.name)) guarded.insert(ifindex);
    // Until nothing is added: a VLAN device on a bridge whose member is a twin takes two rounds.
    for (std::size_t before = 0; before != guarded.size();) {
        before = guarded.size();
        for (const auto& [ifindex, link] : links_) {
            if (guarded.contains(ifindex) && link.master_ifindex != 0) guarded.insert(link.master_ifindex);
            if (kStacked.contains(link.kind) && guarded.contains(link.parent_ifindex)) guarded.insert(ifindex);
        }
    }
    for (const IfIndex ifindex : guarded)
        if (const auto at = links_.find(ifindex); at != links_.end()) names.insert(at->second.name);
    std::vector<std::string> list(names.begin(), names.end());
    if (list == names_) return false;
    names_ = std::move(list);
    return true;
}

}  // namespace sluice
