#include "tools/sluicectl/conntrack_addresses.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <bit>

#include <boost/asio/ip/address.hpp>
#include <spdlog/fmt/fmt.h>

#include "control/api/flow_filter.hh"
#include "control/api/protocols.hh"
#include "tools/sluicectl/conntrack_scanner.hh"

namespace sluice::ctl {
namespace {

/// "10.1" is 10.0.0.1, "0x7f.1" is 127.0.0.1. What is none of these stays as it is.
std::string with_all_parts(const std::string& text) {
    in_addr address{};
    if (::inet_aton(text.c_str(), &address) == 0) return text;
    return boost::asio::ip::address_v4(ntohl(address.s_addr)).to_string();
}

std::string check_port(const std::string& text) {
    if (text.empty()) complain("No port specified after `:'");
    if (!api::parse_number(text, 65535)) complain(fmt::format("Invalid port `{}'", text));
    return text;
}

}  // namespace

std::string read_address(const std::string& text) {
    const auto slash = text.find('/');
    const std::string address = with_all_parts(text.substr(0, slash));
    std::string whole = slash == std::string::npos ? address : address + text.substr(slash);
    if (api::AddressMatch::parse(whole)) return whole;
    if (slash != std::string::npos && api::AddressMatch::parse(address)) complain("Invalid netmask");
    complain(fmt::format("Invalid IP address `{}'", text.substr(0, slash)));
}

NatAddress NatAddress::read(const std::string& text) {
    NatAddress nat;
    std::string address = text;
    const auto closing = text.starts_with('[') ? text.find(']') : 0;
    if (closing == std::string::npos) complain("No closing ']' around IPv6 address");
    if (closing != 0) {
        const std::string behind = text.substr(closing + 1);
        if (behind.empty() || behind.front() == ':') address = text.substr(1, closing - 1);
        if (address.empty()) complain("No IPv6 address specified");
        if (!behind.empty() && behind.front() == ':') nat.port = check_port(behind.substr(1));
    } else if (std::ranges::count(text, ':') == 1) {
        address = text.substr(0, text.find(':'));
        nat.port = check_port(text.substr(text.find(':') + 1));
    }
    if (!address.empty()) nat.address = read_address(address);
    return nat;
}

std::string NatAddress::text() const {
    if (port.empty()) return address;
    const bool v6 = address.find(':') != std::string::npos;
    return v6 ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
}

unsigned prefix_of(const std::string& mask) {
    boost::system::error_code error;
    const auto address = boost::asio::ip::make_address(with_all_parts(mask), error);
    if (error) complain(fmt::format("Invalid IP address `{}'", mask));
    unsigned bits = 0;
    bool ended = false;
    const auto take = [&](std::uint8_t byte) {
        const auto ones = static_cast<unsigned>(std::countl_one(byte));
        if ((ended && byte != 0) || static_cast<std::uint8_t>(byte << ones) != 0) complain("Invalid netmask");
        bits += ones;
        ended = ended || ones < 8;
    };
    if (address.is_v4()) {
        for (const auto byte : address.to_v4().to_bytes()) take(byte);
    } else {
        for (const auto byte : address.to_v6().to_bytes()) take(byte);
    }
    return bits;
}

}  // namespace sluice::ctl
