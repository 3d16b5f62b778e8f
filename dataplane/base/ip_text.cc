#include "dataplane/base/ip_text.hh"

#include <arpa/inet.h>

namespace sluice {

std::string to_string(const IpAddress& address) {
    char text[INET6_ADDRSTRLEN];
    std::array<std::uint8_t, sizeof address> bytes{};
    address.to_bytes(bytes.data());
    const bool v4 = address.is_v4();
    return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &bytes[12] : bytes.data(), text, sizeof text);
}

std::string to_string(Ip4 address) {
    return to_string(IpAddress(address));
}

}  // namespace sluice
