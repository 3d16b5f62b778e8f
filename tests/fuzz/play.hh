// An input of the fuzzer as what hosts on both sides of a box do: clients speak, ends answer what reached them, routers
// report errors about it, frames are repeated, cut up and damaged, time passes. What leaves the box is held against
// what must be true of every packet, whatever came in:
//
//   - its checksums are right, unless somebody sent a damaged one
//   - no private address leaves by the outside port, neither in front nor inside of a quotation
//   - in the end no flow, no expectation and no packet buffer is left
//
// The packet balance is checked by the box itself, after every step.
#pragma once

#include <deque>
#include <string>

#include "tests/fuzz/tape.hh"
#include "tests/fuzz/vocabulary.hh"
#include "tests/support/box.hh"

namespace sluice::fuzz {

/// A promise that was not kept ends the program, for the fuzzer to see.
void require(bool kept, const char* promise);

/// A machine that plays are run on, one after the other; after each it is as it was before.
class Stage {
public:
    /// `workers` 2: packets come at one worker and are handed to their home.
    explicit Stage(unsigned workers);
    void play(Tape tape);

private:
    struct Side {
        std::string port;
        std::deque<test::Frame> reached;  ///< frames that left the box here, newest last
    };

    /// One end of a TCP connection that goes on over several acts: numbers and addresses as this end knows them.
    struct End {
        const Side* side = nullptr;
        IpAddress own{}, peer{};
        std::uint16_t port = 0, peer_port = 0;
        std::uint32_t seq = 0;    ///< of what it says next
        std::uint32_t heard = 0;  ///< the number behind the last byte that reached it
    };

    void act(Tape& tape);
    void open_connection(Tape& tape);
    void talk(Tape& tape);
    void say(End& end, std::uint8_t flags, std::string_view text);
    void hear(const Side& side, const test::Decoded& packet);
    void say_tcp(Tape& tape);
    void say_datagram(Tape& tape);
    void say_other(Tape& tape);
    void answer(Tape& tape);
    void answer_tcp(Tape& tape, const Side& side, const test::Decoded& heard);
    void report_error(Tape& tape);
    void send_pieces(Tape& tape);
    void repeat(Tape& tape);
    void send_raw(Tape& tape);
    void speak_from_kernel(Tape& tape);
    void pass_time(Tape& tape);

    void put(const Side& side, const test::PacketBuilder& packet);
    /// What comes by `lan` (`out`) or by `wan`, from one of `people` to another.
    struct Way {
        bool out;
        IpAddress from, to;
    };
    static Way way_of(Tape& tape, const People& people);
    Side& side_of(const Way& way) { return way.out ? lan_ : wan_; }
    void put_frame(const Side& side, test::Frame frame);
    void look();
    void check(const Side& side, const test::Frame& frame) const;
    void finish();

    unsigned workers_;
    test::Box box_;
    Side lan_{"lan", {}}, wan_{"wan", {}};
    std::deque<std::pair<const Side*, test::Frame>> told_;  ///< what was sent lately, to be repeated
    test::Frame cut_;                                       ///< a packet whose pieces are being sent
    End ends_[2];                                           ///< the connection that was opened last: client, server
    unsigned buffers_ = 0;                                  ///< free ones, before the first play
    bool damaged_ = false;                                  ///< a packet with a wrong transport checksum was sent
    unsigned queue_ = 0;                                    ///< where the next frame comes in
};

}  // namespace sluice::fuzz
