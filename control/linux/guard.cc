#include "control/linux/guard.hh"

#include <algorithm>
#include <net/if.h>
#include <nftables/libnftables.h>
#include <set>
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

/// "add" first, so that "delete" finds one: nft 1.0.6 has no "destroy".
std::string gone(const char* family) {
    return std::string("add table ") + family + " sluice_guard\ndelete table " + family + " sluice_guard\n";
}

std::string table(const char* family, std::span<const std::string> names, const char* more) {
    return gone(family) + "table " + family + " sluice_guard {\n" + twin_set(names) + kForwardChain + more + "}\n";
}

}  // namespace

Guard::Guard(nft_ctx* nft) : nft_(nft) {}
Guard::~Guard() {
    nft_ctx_free(nft_);
}

OrFailure<std::unique_ptr<Guard>> Guard::open() {
    nft_ctx* nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (nft == nullptr) return Failure{"nftables: libnftables cannot be started"};
    std::unique_ptr<Guard> guard{new Guard(nft)};
    if (nft_ctx_buffer_error(nft) != 0 || nft_ctx_buffer_output(nft) != 0) return Failure{"nftables: out of memory"};
    return guard;
}

MaybeFailure Guard::run(const std::string& commands, const std::string& what) {
    if (nft_run_cmd_from_buffer(nft_, commands.c_str()) == 0) return std::nullopt;
    // The first line says what is wrong; the others repeat the command and point into it.
    const std::string words = nft_ctx_get_error_buffer(nft_);
    return Failure{"nftables: " + what + ": " + words.substr(0, words.find('\n'))};
}

MaybeFailure Guard::set_interfaces(std::span<const std::string> names) {
    for (const std::string& name : names)
        if (!is_quotable(name)) return Failure{"nftables: \"" + name + "\" is not a name for a network device"};
    return run(table("inet", names, kTrackChains) + table("bridge", names, ""), "guard of the twins");
}

MaybeFailure Guard::remove() {
    return run(gone("inet") + gone("bridge"), "removing the guard");
}

std::string Guard::output() const {
    const char* text = nft_ctx_get_output_buffer(nft_);
    return text == nullptr ? "" : text;
}

OrFailure<GuardState> Guard::state() {
    if (auto failure = run("list tables\n", "listing the tables")) return *failure;
    const std::string present = output();
    GuardState tables;
    for (const char* family : {"inet", "bridge", "netdev"}) {
        const std::string name = std::string("table ") + family + " sluice_guard\n";
        if (present.find(name) == std::string::npos) continue;
        if (auto failure = run("list " + name, "reading the guard")) return *failure;
        tables[family] = output();
    }
    return tables;
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
    for (const char* family : {"inet", "bridge", "netdev"}) {
        const std::string text = text_of(wanted, family);
        if (text_of(now, family) == text) continue;
        auto failure = run(gone(family) + text, "taking the guard back");
        if (failure && !first) first = std::move(failure);
    }
    return first;
}

MaybeFailure Guard::guard_ingress(const std::string& name) {
    const unsigned ifindex = if_nametoindex(name.c_str());
    if (ifindex == 0 || !is_quotable(name)) return Failure{"nftables: there is no network device \"" + name + '"'};
    // The chain's policy is the whole rule. Its name is the number, since a device's name need not be a word of nft.
    const std::string chain = "netdev sluice_guard device" + std::to_string(ifindex);
    return run("add table netdev sluice_guard\nadd chain " + chain + " { type filter hook ingress device \"" + name +
                   "\" priority -500; policy drop; }\n",
               "ingress guard of " + name);
}

MaybeFailure Guard::release_ingress(const std::string& name) {
    const unsigned ifindex = if_nametoindex(name.c_str());
    if (ifindex == 0 || !is_quotable(name)) return std::nullopt;  // the chain went with the device
    const std::string chain = "netdev sluice_guard device" + std::to_string(ifindex);
    return run("add table netdev sluice_guard\nadd chain " + chain + " { type filter hook ingress device \"" + name +
                   "\" priority -500; policy drop; }\ndelete chain " + chain + "\n",
               "releasing the ingress of " + name);
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
