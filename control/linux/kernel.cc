#include "control/linux/kernel.hh"

namespace sluice {

std::string to_string(Ip4 address) {
    const std::uint32_t value = address.host();
    return std::to_string(value >> 24) + '.' + std::to_string(value >> 16 & 255) + '.' +
           std::to_string(value >> 8 & 255) + '.' + std::to_string(value & 255);
}

std::string to_string(const Ip4Prefix& prefix) {
    return to_string(prefix.address) + '/' + std::to_string(prefix.length);
}

}  // namespace sluice
