/* See cover.h. */
#include "cover.h"

const char *mlt_cover_word(enum mlt_cover cover)
{
    static const char *const words[MLT_COVER_COUNT] = { "covered", "nobody_heard", "unsaid",
                                                        "plan",    "ring",         "topics" };
    return (unsigned)cover < MLT_COVER_COUNT ? words[cover] : "?";
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t mlt_cover_made(struct mlt_cover_peer peers[MLT_COVER_PEERS_MAX],
                       const struct mlt_owners_beat *beat, int64_t at_ns)
{
    struct mlt_cover_peer *peer = &peers[0];
    for (size_t i = 0; i < MLT_COVER_PEERS_MAX && peer->boot != beat->boot; i++) {
        if (peers[i].boot == beat->boot || peers[i].boot == 0 ||
            (peer->boot != 0 && peers[i].last_ns < peer->last_ns)) {
            peer = &peers[i];
        }
    }
    const int64_t ahead_ns = at_ns - beat->sent_ns;
    if (peer->boot != beat->boot) {
        *peer = (struct mlt_cover_peer){ .boot = beat->boot,
                                         .ahead_ns = ahead_ns,
                                         .ahead_last_ns = ahead_ns,
                                         .window_ns = at_ns,
                                         .first_ns = at_ns };
    } else if (at_ns - peer->window_ns >= MLT_COVER_WINDOW_NS) {
        peer->ahead_last_ns = peer->ahead_ns;
        peer->ahead_ns = ahead_ns;
        peer->window_ns = at_ns;
    }
    peer->ahead_ns = least(peer->ahead_ns, ahead_ns);
    peer->last_ns = at_ns;
    if (at_ns - peer->first_ns < MLT_COVER_STEADY_NS) {
        return INT64_MIN;
    }
    return beat->sent_ns + least(peer->ahead_ns, peer->ahead_last_ns);
}

void mlt_cover_heard(struct mlt_cover_said *said, const struct mlt_owners_beat *beat,
                     uint32_t partition, int64_t made_ns)
{
    if (beat->deaf) {
        return; /* nobody hears whether somebody has its place already */
    }
    if ((beat->partitions >> partition & 1) == 0) {
        said->released = said->released || said->boot == beat->boot;
        return;
    }
    if (beat->epochs[partition] == 0 ||
        (said->boot != beat->boot && beat->epochs[partition] < said->epoch)) {
        return;
    }
    *said = (struct mlt_cover_said){ .boot = beat->boot,
                                     .epoch = beat->epochs[partition],
                                     .heard_ns = made_ns,
                                     .need_ns = beat->needs_ns[partition],
                                     .plan_boot = beat->plan_boots[partition],
                                     .plan_revision = beat->plan_revisions[partition] };
}

int64_t mlt_cover_from(const struct mlt_cover_said *said)
{
    if (said->boot == 0 || said->plan_boot == 0 || said->need_ns < 0 ||
        said->need_ns > INT64_MAX - MLT_COVER_MARGIN_NS ||
        said->heard_ns < INT64_MIN + MLT_COVER_MARGIN_NS + said->need_ns) {
        return INT64_MIN;
    }
    return said->heard_ns - said->need_ns - MLT_COVER_MARGIN_NS;
}

enum mlt_cover mlt_cover_judge(const struct mlt_cover_said *said, const struct mlt_cover_have *have)
{
    const int64_t from_ns = mlt_cover_from(said);
    if (said->boot == 0) {
        return MLT_COVER_NOBODY;
    }
    if (from_ns == INT64_MIN) {
        return MLT_COVER_UNSAID;
    }
    if (have->plan_boot != said->plan_boot || have->plan_revision < said->plan_revision) {
        return MLT_COVER_PLAN;
    }
    if (have->ring_since_ns > from_ns) {
        return MLT_COVER_RING;
    }
    return have->topics_since_ns > from_ns ? MLT_COVER_TOPICS : MLT_COVERED;
}
