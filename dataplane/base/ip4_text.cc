#include "dataplane/base/ip4_text.hh"

#include <cstdint>

namespace sluice {

std::string to_string(Ip4 address) {
    const std::uint32_t value = address.host();
    return std::to_string(value >> 24) + '.' + std::to_string(value >> 16 & 255) + '.' +
           std::to_string(value >> 8 & 255) + '.' + std::to_string(value & 255);
}

}  // namespace sluice
